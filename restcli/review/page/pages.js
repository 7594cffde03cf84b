// Pages of signal that were read before, and reading ahead.

import { getPage } from "./api.js";

const MOST_BYTES = 64e6;

export class Pages {
  #cache = new Map(); // path -> page, the one used last at the end
  #bytes = 0;
  #reading = new Map(); // path -> promise
  #ahead = new AbortController();

  get(path) {
    const page = this.#cache.get(path);
    if (page) {
      this.#cache.delete(path);
      this.#cache.set(path, page);
    }
    return page;
  }

  load(path) {
    const page = this.get(path);
    if (page) return Promise.resolve(page);
    if (!this.#reading.has(path)) {
      const promise = getPage(path)
        .then((read) => this.#keep(path, read))
        .finally(() => this.#reading.delete(path));
      this.#reading.set(path, promise);
    }
    return this.#reading.get(path);
  }

  // Reads pages one after the other; a later call takes the place of what is still to be read.
  async readAhead(paths) {
    this.#ahead.abort();
    const { signal } = (this.#ahead = new AbortController());
    for (const path of paths) {
      if (signal.aborted) return;
      await this.load(path).catch(() => {});
    }
  }

  #keep(path, page) {
    this.#cache.set(path, page);
    this.#bytes += page.bytes;
    for (const [oldest, { bytes }] of this.#cache) {
      if (this.#bytes <= MOST_BYTES || oldest === path) break;
      this.#cache.delete(oldest);
      this.#bytes -= bytes;
    }
    return page;
  }
}
