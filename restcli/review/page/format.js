// Times and other values in words.

export function elapsed(seconds, digits = 0) {
  const unit = 10 ** digits;
  const ticks = Math.round(Math.max(0, seconds) * unit);
  const whole = Math.floor(ticks / unit);
  const two = (value) => String(value).padStart(2, "0");
  const fraction = digits ? `.${String(ticks % unit).padStart(digits, "0")}` : "";
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}${fraction}`;
}

export function clockAt(clock, seconds) {
  return clock ? elapsed((parseTime(clock) + seconds) % 86400).padStart(8, "0") : "";
}

// Seconds from "1:02:03.5", "2:03" or "123.5"; null when it is not a time.
export function parseTime(text) {
  const parts = text.trim().replace(",", ".").split(":");
  if (parts.length > 3 || !parts.every((part) => /^\d+(\.\d+)?$/.test(part))) return null;
  return parts.reduce((sum, part) => sum * 60 + Number(part), 0);
}

// As restcli/text.py: at most two units, none of them zero.
export function duration(seconds) {
  if (seconds < 60) return seconds < 10 && seconds % 1 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

// 99.97 % must not read as all.
export function percent(fraction) {
  return fraction >= 1 ? "100 %" : `${Number((Math.floor(fraction * 1000) / 10).toFixed(1))} %`;
}
