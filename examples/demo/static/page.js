// The page: calls the routes of app.py, and shows what they answer.

import {
  ConnectionLostError,
  ObservableSocket,
  ResponseError,
  TimeoutError,
} from 'fastapi-observable-socket'
import { $, element } from './dom.js'
import { ShownWebSocket } from './wire.js'

let me = null // { id, name }, or null for nobody
let shown = null // the id of the article in the reader
let editing = null // the article in the editor, or null for a new one

// --- The connection. It comes back by itself; here it is only shown.

// What may be called, with what, and what comes back: ../routes.ts says it, which is made of app.py.
const socket = new ObservableSocket('/ws', { WebSocket: ShownWebSocket })

const STATES = {
  connecting: 'connecting …',
  open: 'connected',
  waiting: 'no connection, and on the way back by itself',
  closed: 'closed',
}

function showState(state) {
  $('state').textContent = STATES[state]
  $('state').dataset.state = state
  $('hang-up').textContent = state === 'open' ? 'Hang up' : 'Connect now'
  $('hang-up').hidden = state === 'connecting'
}

showState(socket.state)
socket.on('state', showState)
socket.on('state', (state) => state === 'open' && greet())
socket.on('close', ({ code, reason, reconnects }) => {
  if (!reconnects) $('state').textContent = `closed: ${reason || code}`
})

$('hang-up').onclick = () => {
  if (socket.state === 'open') socket.close(1000, 'you hung up')
  else socket.reconnect()
}

/** Everything that depends on who we are, as soon as a new connection knows it. */
async function greet() {
  try {
    await Promise.all([learnWhoIsWho(), listArticles()])
    if (shown !== null) await read(shown)
  } catch (error) {
    // Lost again meanwhile: the next connection greets anew.
    if (!(error instanceof ConnectionLostError)) show(error)
  }
}

// --- What can go wrong, in words. An answer that is no 2xx is an error like any other.

function explain(error) {
  if (error instanceof ResponseError) return error.message // the server's own words
  if (error instanceof TimeoutError) return 'there was no answer in time'
  if (!(error instanceof ConnectionLostError)) return error.message
  // The client never sends anything twice: after a loss, only a person knows what is safe to repeat.
  return error.sent
    ? 'the connection was lost before the answer came: it may have been done, or not'
    : 'there is no connection, and nothing was sent'
}

/** An error that no part of the page has a place for. */
function show(error) {
  $('reader').replaceChildren(
    element('h2', { textContent: error.status ?? 'No answer' }),
    element('p', { textContent: explain(error) }),
  )
}

// --- Who is who

async function learnWhoIsWho() {
  const { user, people } = await socket.call('me')
  me = user
  $('person').replaceChildren(
    element('option', { value: '', textContent: 'nobody' }),
    ...people.map(({ id, name }) => element('option', { value: id, textContent: name })),
  )
  $('person').value = user?.id ?? ''
  $('write').disabled = !user
  $('write').textContent = user ? 'Write one' : 'Sign in to write'
}

$('person').onchange = async () => {
  const person = $('person').value ? Number($('person').value) : null
  try {
    await fetch('/sign-in', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ person }),
    })
    // The cookie travels with the handshake: a new person needs a new connection.
    socket.reconnect()
  } catch (error) {
    $('person').value = me?.id ?? ''
    show(error)
  }
}

// --- Reading

const BADGES = { PUBLIC: '', MEMBERS: 'members', AUTHOR: 'author only' }

async function listArticles() {
  const articles = await socket.call('list-articles')
  $('articles').replaceChildren(
    ...articles.map(({ id, title, author, access }) => {
      const button = element(
        'button',
        { type: 'button', onclick: () => choose(id) },
        element('span', { textContent: title }),
        element('small', { textContent: [author.name, BADGES[access]].filter(Boolean).join(' · ') }),
      )
      button.dataset.article = id
      return element('li', {}, button)
    }),
  )
  mark()
}

function mark() {
  for (const button of $('articles').querySelectorAll('button')) {
    button.ariaCurrent = Number(button.dataset.article) === shown ? 'true' : 'false'
  }
}

async function choose(id) {
  await read(id)
  $('reader').scrollIntoView({ block: 'nearest', behavior: 'smooth' })
}

let reading = new AbortController()

async function read(id) {
  shown = id
  mark()
  reading.abort() // who chooses another article does not want the last one any more
  reading = new AbortController()
  const { signal } = reading
  try {
    const headers = { article: String(id) }
    display(await socket.call('get-article', undefined, { headers, signal }))
  } catch (error) {
    if (!signal.aborted) refuse(error)
  }
}

function display(article) {
  const paragraphs = article.body.split(/\n{2,}/).map((text) => element('p', { textContent: text }))
  const byline = element('p', { className: 'byline', textContent: `by ${article.author}` })
  if (article.author === me?.name) {
    byline.append(
      element('button', { type: 'button', textContent: 'Edit', onclick: () => edit(article) }),
    )
  }
  $('reader').replaceChildren(element('h2', { textContent: article.title }), byline, ...paragraphs)
}

function refuse(error) {
  if (!(error instanceof ResponseError && error.status === 403)) return show(error)
  $('reader').replaceChildren(
    element('h2', { textContent: 'Not for you' }),
    element('p', {
      textContent: me
        ? `The server answered 403: ${me.name} may not read this article.`
        : 'The server answered 403. Sign in, and it may think differently.',
    }),
  )
}

// --- Writing

const FIELDS = ['title', 'body', 'access']

/** @param {import('../routes.js').Story | null} article */
function edit(article = null) {
  editing = article
  $('editor-title').textContent = article ? `Edit “${article.title}”` : 'A new article'
  for (const name of FIELDS) {
    $(name).value = article?.[name] ?? (name === 'access' ? 'PUBLIC' : '')
    complain(name, null)
  }
  $('editor-error').textContent = ''
  $('editor').hidden = false
  $('title').focus()
}

function complain(name, message) {
  $(`${name}-error`).textContent = message ?? ''
  $(name).ariaInvalid = message ? 'true' : 'false'
}

const own = () => (editing ? { article: String(editing.id) } : {})

for (const name of ['title', 'body']) {
  let typing
  let checking = new AbortController()
  $(name).oninput = () => {
    clearTimeout(typing)
    checking.abort() // its answer would be about another text
    checking = new AbortController()
    typing = setTimeout(check, 150, name, checking.signal)
  }
}

/** Ask the server about one field, while it is typed. A late answer is no answer: saving asks again. */
async function check(field, signal) {
  const options = { headers: own(), signal, timeout: 3_000 }
  try {
    const { message } = await socket.call('check-field', { field, value: $(field).value }, options)
    complain(field, message)
  } catch {}
}

$('write').onclick = () => edit()
$('cancel').onclick = () => ($('editor').hidden = true)

$('editor').onsubmit = async (event) => {
  event.preventDefault()
  $('editor-error').textContent = ''
  const draft = { title: $('title').value, body: $('body').value, access: $('access').value }
  const route = editing ? 'edit-article' : 'add-article'
  try {
    const article = await socket.call(route, draft, { headers: own() })
    $('editor').hidden = true
    reading.abort()
    shown = article.id
    display(article)
    $('reader').focus()
  } catch (error) {
    return showMisfit(error)
  }
  listArticles().catch(show)
}

/** FastAPI's list of errors, each at its field. */
function showMisfit(error) {
  const misfits = (error.payload?.detail ?? []).filter(({ loc }) => FIELDS.includes(loc[1]))
  for (const { loc, msg } of misfits) complain(loc[1], msg)
  if (misfits.length) $(misfits[0].loc[1]).focus()
  else $('editor-error').textContent = `Not saved: ${explain(error)}.`
}

// --- The quick ones and the slow ones

$('sum').onsubmit = async (event) => {
  event.preventDefault()
  // What is no number is sent as it is: to refuse it is the server's part.
  const numbers = $('numbers')
    .value.split(/[\s,;]+/)
    .filter(Boolean)
    .map((text) => (Number.isFinite(Number(text)) ? Number(text) : text))
  try {
    const { sum } = await socket.call('math/sum', numbers)
    $('total').textContent = `= ${sum}`
  } catch (error) {
    const [misfit] = error.payload?.detail ?? []
    $('total').textContent = misfit ? `number ${misfit.loc[1] + 1}: ${misfit.msg}` : explain(error)
  }
}

$('race').onclick = async () => {
  const stop = new AbortController()
  $('stop').onclick = () => stop.abort(new Error('stopped'))
  $('race').disabled = true
  $('stop').disabled = false
  $('finish').replaceChildren()
  const arrives = async (name, answer) => {
    const started = performance.now()
    const outcome = await answer.then(
      () => `after ${Math.round(performance.now() - started)} ms`,
      (error) => explain(error),
    )
    $('finish').append(element('li', { textContent: `${name}: ${outcome}` }))
  }
  await Promise.all([
    arrives('the slow one', socket.call('slow', { seconds: 2 }, { signal: stop.signal })),
    arrives('the impatient one', socket.call('slow', { seconds: 2 }, { timeout: 1_000 })),
    arrives('1 + 1', socket.call('math/sum', [1, 1])),
    arrives('2 + 2', socket.call('math/sum', [2, 2])),
    arrives('the list of articles', socket.call('list-articles')),
  ])
  $('race').disabled = false
  $('stop').disabled = true
}
