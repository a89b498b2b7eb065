/**
 * The page a socket lives in: when it wakes, and when it is put away. Outside a page, nothing ever happens.
 */

/** Returns its undoing. */
export function onPage(wake: () => void, freeze: () => void): () => void {
  const undo: (() => void)[] = []
  const listen = (target: EventTarget, type: string, listener: (event: any) => void) => {
    target.addEventListener(type, listener)
    undo.push(() => target.removeEventListener(type, listener))
  }
  if (typeof addEventListener === 'function') {
    listen(globalThis as unknown as EventTarget, 'online', wake)
    listen(globalThis as unknown as EventTarget, 'pageshow', wake)
    // A page with an open WebSocket is kept out of the back/forward cache, or wakes up in it with a dead one.
    listen(globalThis as unknown as EventTarget, 'pagehide', (event) => event.persisted && freeze())
  }
  if (typeof document === 'object') listen(document, 'visibilitychange', () => document.hidden || wake())
  return () => undo.forEach((stop) => stop())
}
