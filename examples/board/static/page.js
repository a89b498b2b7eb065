// The page: what the server says of each note, and over it what was changed here and is not kept yet.

import { ConnectionLostError, ObservableSocket } from 'fastapi-observable-socket'
import { topics } from 'fastapi-observable-socket/topics'
import { $, element } from './dom.js'

const board = /^#[a-z0-9-]{1,40}$/.test(location.hash) ? location.hash.slice(1) : 'main'
const TOPIC = `boards/${board}`
const HANDS = `boards/${board}/hands`
onhashchange = () => location.reload()

const socket = new ObservableSocket('/ws', { topics })

// --- The connection. It comes back by itself, and the topics with it.

const STATES = {
  connecting: 'connecting …',
  open: 'connected',
  waiting: 'no connection, and on the way back by itself',
  closed: 'closed',
}

function showState(state) {
  $('state').textContent = STATES[state]
  $('state').dataset.state = state
  if (state === 'open') socket.call('about').then(showProcess, () => {})
}

function showProcess({ process, broker }) {
  const others = broker === 'Redis' ? 'and by Redis to all others' : 'the only one'
  $('state').textContent = `connected to process ${process}, ${others}`
  $('state').dataset.process = process
}

showState(socket.state)
socket.on('state', showState)

// --- Notes

const notes = new Map() // by id: what the server said last
const mine = new Map() // by id: what was changed here and is not kept yet
let held = null // { id, x, y } of the note that is dragged here

socket
  .subscribe(TOPIC, {
    onSubscribed(snapshot) {
      if (!snapshot) return // it was brought up to date by what was missed
      const there = new Set(snapshot.notes.map(({ id }) => id))
      for (const [id, { version }] of notes) if (version && !there.has(id)) drop(id)
      snapshot.notes.forEach(heard)
      $('board').dataset.ready = 'true'
    },
  })
  .subscribe({ next: heard, error: complain })

/** Events may come late, and the answers to our own changes before or after them. */
function heard(note) {
  const known = notes.get(note.id)
  if (known && known.version >= note.version) return
  notes.set(note.id, note)
  for (const hand of hands.values()) if (hand.holds === note.id) hand.holds = null
  show(note.id)
  raise(note.id)
}

function drop(id) {
  notes.delete(id)
  mine.delete(id)
  show(id)
}

// --- Changes. They show at once, and are sent until they are kept: a note that is set to the same twice
// --- is no other, and one that is added twice under its id is one.

const busy = new Set()

function change(id, fields) {
  mine.set(id, { ...mine.get(id), ...fields })
  show(id)
  save(id)
}

async function save(id) {
  if (busy.has(id)) return // when that is kept, it goes on with what has changed meanwhile
  busy.add(id)
  try {
    while (mine.has(id)) {
      const { gone, ...rest } = mine.get(id)
      const added = notes.get(id)?.version > 0
      const fields = added ? mine.get(id) : rest // what is taken off at once is added first
      const route = !added ? 'add' : gone ? 'remove' : 'change'
      const note = await certainly(route, { board, id, ...rest })
      const since = Object.entries(mine.get(id) ?? {}).filter(([name, value]) => fields[name] !== value)
      if (since.length) mine.set(id, Object.fromEntries(since))
      else mine.delete(id)
      heard(note)
    }
  } catch (error) {
    mine.delete(id)
    if (!notes.get(id)?.version) notes.delete(id)
    complain(error)
  } finally {
    busy.delete(id)
    show(id)
  }
}

/** Sent again when the connection was lost before the answer; while there is none, it waits. */
async function certainly(route, payload) {
  for (;;) {
    try {
      return await socket.call(route, payload, { timeout: Infinity })
    } catch (error) {
      if (!(error instanceof ConnectionLostError) || socket.state === 'closed') throw error
    }
  }
}

function complain(error) {
  const [misfit] = error.payload?.detail ?? []
  $('misfit').textContent = misfit ? `${misfit.loc.at(-1)}: ${misfit.msg}` : error.message
}

$('add').onclick = () => {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
  const colour = COLOURS[notes.size % COLOURS.length]
  $('misfit').textContent = ''
  notes.set(id, { id, text: '', version: 0 })
  change(id, { colour, ...free(), text: '' })
  raise(id)
  elements.get(id).querySelector('textarea').focus()
}

/** The one of some places that is furthest from all notes. */
function free() {
  const there = [...elements.values()].map(({ dataset }) => dataset)
  const room = ({ x, y }) => Math.min(...there.map((other) => Math.hypot(other.x - x, (other.y - y) / 2)))
  const some = Array.from({ length: 30 }, () => ({ x: within(Math.random()), y: within(Math.random()) }))
  return some.reduce((best, place) => (room(place) > room(best) ? place : best))
}

// --- How a note looks

const COLOURS = ['yellow', 'green', 'blue', 'pink']
const elements = new Map()
let top = 1

function show(id) {
  const base = notes.get(id)
  const hand = [...hands.values()].find(({ holds }) => holds === id)
  const note = { ...base, ...(hand && { x: hand.x, y: hand.y }), ...mine.get(id), ...(held?.id === id && held) }
  if (!base || note.gone) {
    elements.get(id)?.remove()
    elements.delete(id)
  } else {
    const made = elements.get(id) ?? make(id)
    made.style.setProperty('--x', note.x)
    made.style.setProperty('--y', note.y)
    Object.assign(made.dataset, { x: note.x, y: note.y, colour: note.colour })
    made.querySelector('.holder').textContent = hand ? hand.who : ''
    for (const button of made.querySelectorAll('.colours button')) button.ariaPressed = button.value === note.colour
    write(made.querySelector('textarea'), note.text)
  }
  count()
}

/** The caret stays where it is when somebody else writes. */
function write(area, text) {
  if (area.value === text) return
  const { selectionStart, selectionEnd } = area
  area.value = text
  if (document.activeElement === area) area.setSelectionRange(selectionStart, selectionEnd)
}

function make(id) {
  const made = $('note').content.firstElementChild.cloneNode(true)
  made.dataset.id = id
  for (const sign of ['pointerdown', 'focusin']) made.addEventListener(sign, () => raise(id))
  made.querySelector('textarea').oninput = ({ target }) => change(id, { text: target.value })
  made.querySelector('.remove').onclick = () => {
    change(id, { gone: true })
    $('add').focus()
  }
  made.querySelector('.colours').append(
    ...COLOURS.map((colour) =>
      element('button', { type: 'button', value: colour, title: colour, ariaLabel: colour, onclick: () => change(id, { colour }) }),
    ),
  )
  movable(made, id)
  elements.set(id, made)
  $('notes').append(made)
  return made
}

function raise(id) {
  const made = elements.get(id)
  if (made) made.style.zIndex = ++top
}

function count() {
  const { size } = elements
  $('count').textContent = size === 1 ? '1 note' : `${size} notes`
  $('unsaved').textContent = mine.size ? 'not kept yet: it is sent when the connection is back' : ''
}

// --- Moving, by hand and by keys

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const within = (share) => Math.min(1, Math.max(0, Math.round(share * 1e4) / 1e4))

function movable(made, id) {
  const handle = made.querySelector('.handle')
  const place = (event, from) => {
    const around = $('board').getBoundingClientRect()
    return {
      x: within((event.clientX - from.x - around.left) / (around.width - made.offsetWidth)),
      y: within((event.clientY - from.y - around.top) / (around.height - made.offsetHeight)),
    }
  }
  handle.onpointerdown = (down) => {
    const { left, top } = made.getBoundingClientRect()
    const from = { x: down.clientX - left, y: down.clientY - top }
    handle.setPointerCapture(down.pointerId)
    handle.onpointermove = (event) => {
      held = { id, ...place(event, from) }
      show(id)
      point({ ...held, id: undefined, holds: id })
    }
    handle.onpointerup = handle.onpointercancel = () => {
      handle.onpointermove = handle.onpointerup = handle.onpointercancel = null
      if (!held) return
      const { x, y } = held
      held = null
      change(id, { x, y })
    }
  }
  handle.onkeydown = (event) => {
    const step = STEPS[event.key]
    if (!step) return
    event.preventDefault()
    const { x, y } = { ...notes.get(id), ...mine.get(id) }
    const far = event.shiftKey ? 0.1 : 0.02
    change(id, { x: within(x + step[0] * far), y: within(y + step[1] * far) })
  }
}

// --- Hands: where the others point. What is lost of it is not missed.

const NAMES = ['Otter', 'Heron', 'Badger', 'Wren', 'Hare', 'Newt', 'Stoat', 'Finch', 'Moth', 'Crane', 'Vole', 'Tern']
const me = (sessionStorage.name ??= `${NAMES[Math.floor(Math.random() * NAMES.length)]} ${Math.floor(Math.random() * 90) + 10}`)
$('me').textContent = me

const hands = new Map() // by name
const OFTEN = 50
let next = null
let pause = null

/** The latest counts, twenty times a second at most. */
function point(hand) {
  next = hand
  pause ??= setTimeout(() => {
    pause = null
    if (socket.state === 'open') socket.publish(HANDS, { who: me, ...next }).catch(() => {})
  }, OFTEN)
}

$('board').onpointermove = (event) => {
  if (held) return
  const { left, top, width, height } = $('board').getBoundingClientRect()
  point({ x: within((event.clientX - left) / width), y: within((event.clientY - top) / height) })
}

socket.subscribe(HANDS).subscribe({ next: seen, error: complain })

function seen(hand) {
  if (hand.who === me) return
  const before = hands.get(hand.who)
  clearTimeout(before?.timer)
  hands.set(hand.who, { ...hand, timer: setTimeout(gone, 3_000, hand.who) })
  showHand(hand)
  for (const id of new Set([before?.holds, hand.holds])) if (id) show(id)
}

function gone(who) {
  const { holds } = hands.get(who)
  hands.delete(who)
  handOf(who)?.remove()
  if (holds) show(holds)
}

const handOf = (who) => [...$('hands').children].find(({ dataset }) => dataset.who === who)

function showHand({ who, x, y, holds }) {
  const made = handOf(who) ?? element('div', { className: 'hand', textContent: who })
  made.dataset.who = who
  made.hidden = Boolean(holds) // the note itself says who holds it
  made.style.setProperty('--x', x)
  made.style.setProperty('--y', y)
  if (!made.isConnected) $('hands').append(made)
}
