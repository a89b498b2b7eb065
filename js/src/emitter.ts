/** Listeners by event. One that throws hurts nobody else, and is reported as an error of the page is. */

export type Listener<T> = (value: T) => void

export class Emitter<Events> {
  #listeners = new Map<keyof Events, Set<[Listener<any>]>>()

  /** Returns its undoing; so does the signal. Twice is harmless. */
  on<E extends keyof Events>(event: E, listener: Listener<Events[E]>, signal?: AbortSignal): () => void {
    const set = this.#listeners.get(event) ?? new Set()
    const entry: [Listener<Events[E]>] = [listener]
    const off = () => {
      set.delete(entry)
      signal?.removeEventListener('abort', off)
    }
    if (!signal?.aborted) {
      this.#listeners.set(event, set.add(entry))
      signal?.addEventListener('abort', off)
    }
    return off
  }

  /** Whether anybody listened. */
  emit<E extends keyof Events>(event: E, value: Events[E]): boolean {
    const listeners = [...(this.#listeners.get(event) ?? [])]
    for (const [listener] of listeners) safely(() => listener(value))
    return listeners.length > 0
  }
}

export function safely(run: () => void): void {
  try {
    run()
  } catch (error) {
    ;(globalThis.reportError ?? console.error)(error)
  }
}
