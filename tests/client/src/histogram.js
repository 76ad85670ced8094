// Durations in buckets that grow by a quarter of a power of two: within 19 % at any size.
const PER_OCTAVE = 4;

export class Histogram {
  #counts = new Map();
  count = 0;
  max = 0;

  /** Adds a duration in milliseconds. */
  add(ms) {
    const bucket = Math.ceil(Math.log2(Math.max(ms, 0.1)) * PER_OCTAVE);
    this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + 1);
    this.count += 1;
    this.max = Math.max(this.max, ms);
  }

  /** Upper end of the bucket that holds the quantile `q`; 0 when empty. */
  quantile(q) {
    let left = Math.ceil(q * this.count);
    for (const [bucket, n] of this.#sorted()) {
      left -= n;
      if (left <= 0) return Math.min(this.max, upper(bucket));
    }
    return 0;
  }

  /** Buckets as `[upper end in ms, count]`: differences of two readings give the time between. */
  toJSON() {
    const round = (ms) => Math.round(ms * 10) / 10;
    return {
      count: this.count,
      max: round(this.max),
      p50: round(this.quantile(0.5)),
      p99: round(this.quantile(0.99)),
      buckets: this.#sorted().map(([bucket, n]) => [round(upper(bucket)), n]),
    };
  }

  #sorted() {
    return [...this.#counts].sort((a, b) => a[0] - b[0]);
  }
}

const upper = (bucket) => 2 ** (bucket / PER_OCTAVE);
