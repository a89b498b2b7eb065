import { afterEach, expect, test, vi } from 'vitest'
import { delay } from '../../src/backoff.js'

afterEach(() => void vi.restoreAllMocks())

const range = (attempt: number) =>
  [0, 1].map((chance) => {
    vi.spyOn(Math, 'random').mockReturnValue(chance)
    return delay(attempt, { min: 1_000, max: 30_000 })
  })

test.each([
  [0, [500, 1_000]],
  [1, [1_000, 2_000]],
  [4, [8_000, 16_000]],
  [5, [15_000, 30_000]],
  [5_000, [15_000, 30_000]],
])('attempt %i waits from half of its time to all of it', (attempt, expected) => {
  expect(range(attempt)).toEqual(expected)
})
