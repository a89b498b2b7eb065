/** Listeners by event. One that throws hurts nobody else, and is reported as an error of the page is. */

export type Listener<T> = (value: T) => void

export class Emitter<Events> {
  #listeners = new Map<keyof Events, Set<[Listener<any>]>>()

  /** Returns its undoing; so does the signal. Twice is harmless. */
  on<E extends keyof Events>(event: E, listener: Listener<Events[E]>, signal?: AbortSignal): () => void {
    const set = this.#listeners.get(event) ?? new Set()
    const entry: [Listener<Events[E]>] = [listener]
    return until(
      signal,
      () => this.#listeners.set(event, set.add(entry)),
      () => set.delete(entry),
    )
  }

  /** Whether anybody listened. */
  emit<E extends keyof Events>(event: E, value: Events[E]): boolean {
    const listeners = [...(this.#listeners.get(event) ?? [])]
    for (const [listener] of listeners) safely(() => listener(value))
    return !!listeners[0]
  }
}

/** Enters, unless the signal came too early; returns the way to leave, which the signal takes as well. */
export function until(signal: AbortSignal | undefined, enter: (off: () => void) => unknown, leave: () => unknown): () => void {
  const off = () => {
    signal?.removeEventListener('abort', off)
    leave()
  }
  if (!signal?.aborted) {
    signal?.addEventListener('abort', off)
    enter(off)
  }
  return off
}

export function safely(run: () => void): void {
  try {
    run()
  } catch (error) {
    ;(globalThis.reportError ?? console.error)(error)
  }
}
