/**
 * The page a socket lives in: when it wakes, and when it is put away. Outside a page, nothing ever happens.
 */

/** Returns its undoing. */
export function onPage(wake: () => void, freeze: () => void): () => void {
  const hear = ({ type, persisted }: Event & { persisted?: boolean }) => {
    // A page with an open WebSocket is kept out of the back/forward cache, or wakes up in it with a dead one.
    if (type === 'pagehide') persisted && freeze()
    else if (type !== 'visibilitychange' || !document.hidden) wake()
  }
  const each = (verb: 'addEventListener' | 'removeEventListener') => {
    // The last is an event of the document, and bubbles.
    for (const type of ['online', 'pageshow', 'pagehide', 'visibilitychange']) globalThis[verb]?.(type, hear)
  }
  each('addEventListener')
  return () => each('removeEventListener')
}
