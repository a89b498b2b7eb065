/**
 * How long to wait before the next attempt. It never counts: the socket does.
 */

export interface Backoff {
  /** Milliseconds of the first wait, and of the longest. */
  min: number
  max: number
}

/** Half to full: never at once, and never all clients of a restarted server at the same moment. */
export const delay = (attempt: number, { min, max }: Backoff): number =>
  (Math.min(max, min * 2 ** attempt) * (1 + Math.random())) / 2
