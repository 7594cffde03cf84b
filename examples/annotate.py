"""Annotate the example recording from Python and print the events."""

from pathlib import Path

import restcli

recording = Path(__file__).with_name("absence.edf")
result = restcli.annotate(recording)
for event in result.events:
    print(
        f"{event.onset:6.1f} s  {event.duration:4.1f} s  confidence {event.confidence:.2f}  {', '.join(event.channels)}"
    )
print(f"{result.scores.scored:.1%} of {result.scores.duration:.0f} s scored with {result.weights.name}")
