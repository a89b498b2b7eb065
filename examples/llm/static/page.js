// The page: asks, or watches what another page has asked.

import { ConnectionLostError, ObservableSocket, ResponseError } from 'fastapi-observable-socket'
import { $, element } from './dom.js'

// What may be called, with what, and what comes back: ../routes.ts says it, which is made of app.py.
const socket = new ObservableSocket('/ws')

// --- The connection. It comes back by itself, and then the page catches up.

const STATES = {
  connecting: 'connecting …',
  open: 'connected',
  waiting: 'no connection, and on the way back by itself',
  closed: 'closed',
}

function showState(state) {
  $('state').textContent = STATES[state]
  $('state').dataset.state = state
}

showState(socket.state)
socket.on('state', showState)
socket.on('state', (state) => state === 'open' && catchUp())

/** What went on while this page was not there. */
async function catchUp() {
  try {
    const { generations, running } = await socket.call('overview')
    known = generations
    list(running)
    // The one on show, if it was not read to its end; else whatever is newest.
    const wanted = shown ? unfinished && generations.find(({ id }) => id === shown) : generations[0]
    if (wanted && !reading) follow(wanted)
  } catch (error) {
    // Lost again meanwhile: the next connection catches up.
    if (!(error instanceof ConnectionLostError)) complain(error)
  }
}

// --- One text at a time: our own, or one that we watch

let reading = null // the AbortController of the stream on show, null where none runs
let asking = false // whether that stream is our own
let shown = null // the id of the generation on show
let unfinished = false // whether its connection was lost before its end

/** Shows the tokens of a stream as they come. `break`, an abort and an error leave it on the server, too. */
async function show(prompt, route, payload, options = {}) {
  reading?.abort()
  const ours = (reading = new AbortController())
  asking = route === 'generate'
  unfinished = false
  $('given').textContent = prompt
  $('said').textContent = ''
  $('text').ariaBusy = 'true'
  $('misfit').textContent = ''
  $('role').textContent = asking ? 'You asked' : 'You read along'
  $('outcome').textContent = ''
  controls()
  let outcome
  try {
    for await (const token of socket.stream(route, payload, { ...options, signal: ours.signal })) {
      $('said').append(token.text)
    }
    outcome = ended()
  } catch (error) {
    if (reading !== ours) return // another text is on show by now
    if (ours.signal.aborted) outcome = asking ? 'You stopped it.' : 'You left; it goes on without you.'
    else outcome = lost(error)
  }
  if (reading !== ours) return
  reading = null
  asking = false
  $('text').ariaBusy = 'false'
  $('outcome').textContent = outcome
  controls()
}

const ended = () =>
  known.find(({ id }) => id === shown)?.state === 'stopped' ? 'Whoever asked has stopped it.' : 'The end.'

function lost(error) {
  if (!(error instanceof ConnectionLostError)) {
    if (!shown) $('role').textContent = 'Nothing was begun'
    return complain(error)
  }
  unfinished = !asking
  return asking ? 'The connection was lost, and the generation with it.' : 'The connection was lost.'
}

/** In the server's own words: what does not fit, or why not now. */
function complain(error) {
  const [misfit] = (error instanceof ResponseError && error.payload?.detail) || []
  $('misfit').textContent = misfit ? `${misfit.loc.at(-1)}: ${misfit.msg}` : error.message
  return ''
}

function controls() {
  const focused = document.activeElement
  $('go').disabled = asking
  $('stop').disabled = !asking
  $('leave').hidden = asking || !reading
  mark()
  // A button that cannot be pressed any more passes the focus on.
  if (focused === $('go') && asking) $('stop').focus()
  if (focused === $('stop') && !asking) $('go').focus()
}

controls()

// --- Asking

$('ask').onsubmit = (event) => {
  event.preventDefault()
  const prompt = $('prompt').value.trim()
  const ask = {
    prompt,
    words: $('words').valueAsNumber,
    temperature: $('temperature').valueAsNumber,
    seed: $('seed').value ? $('seed').valueAsNumber : null,
  }
  shown = null
  show(prompt, 'generate', ask, {
    // Told before the first token: what has begun.
    onProgress({ id }) {
      shown = id
      mark()
    },
  })
}

$('stop').onclick = $('leave').onclick = () => reading?.abort()

// --- Watching

function follow(generation) {
  shown = generation.id
  show(generation.prompt, 'watch', generation.id)
}

let known = [] // the generations that the server keeps, newest first

// All pages are told when one begins or ends.
socket.on('push', ({ route, payload }) => {
  if (route !== 'generation') return
  const { generation, running } = payload
  known = known.some(({ id }) => id === generation.id)
    ? known.map((other) => (other.id === generation.id ? generation : other))
    : [generation, ...known].slice(0, 10)
  list(running)
  if (generation.state === 'running' && !reading) follow(generation)
})

function list(running) {
  $('running').textContent = `Generators that run on the server: ${running}`
  const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.id
  $('lately').replaceChildren(
    ...known.map((generation) => {
      const button = element(
        'button',
        { type: 'button', onclick: () => follow(generation) },
        element('span', { textContent: `${generation.prompt} …` }),
        element('small', { textContent: `${generation.state} · seed ${generation.seed}` }),
      )
      button.dataset.id = generation.id
      button.dataset.state = generation.state
      return element('li', {}, button)
    }),
  )
  mark()
  if (focused) $('lately').querySelector(`[data-id='${focused}']`)?.focus()
}

function mark() {
  for (const button of $('lately').querySelectorAll('button')) {
    button.ariaCurrent = button.dataset.id === shown ? 'true' : 'false'
    button.disabled = asking // one text at a time: stop yours first
  }
}
