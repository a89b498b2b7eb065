/** A page with one socket; the test drives it from outside. */

import { ObservableSocket } from '../../../dist/index.mjs'

const query = new URLSearchParams(location.search)
const socket = new ObservableSocket('/ws', {
  backoff: { min: Number(query.get('min') ?? 100), max: 60_000 },
  heartbeat: { rate: Number(query.get('rate') ?? 25_000), timeout: 500 },
})
const events: string[] = []
socket.on('state', (state) => void events.push(state))
addEventListener('pageshow', ({ persisted }) => persisted && events.push('pageshow'))

Object.assign(window, { socket, events })
