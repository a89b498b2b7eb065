// The page: shows what the routes answer. How a call travels is socket.js's part.

import { open } from './socket.js'

const $ = (id) => document.getElementById(id)

/** An element with properties and children; text stays text, whatever it contains. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

let me = null // { id, name }, or null for nobody
let shown = null // the id of the article in the reader
let editing = null // the article in the editor, or null for a new one

// --- The connection

const STATES = {
  connecting: () => 'connecting …',
  connected: () => 'connected',
  waiting: (wait) => `connection lost, back in ${Math.ceil(wait / 1000)} s`,
  refused: (reason) => `the server refused: ${reason}`,
}

const socket = open('/ws', {
  onState(state, detail) {
    $('state').textContent = STATES[state](detail)
    $('state').dataset.state = state
    if (state === 'connected') greet().catch(show)
  },
})

/** Everything that depends on who we are, as soon as a new connection knows it. */
async function greet() {
  await Promise.all([learnWhoIsWho(), listArticles()])
  if (shown !== null) await read(shown)
}

// --- Calls, and what is shown of them

/** As socket.call, but raises for error statuses, and shows the frames. */
async function call(route, payload, headers = {}) {
  const entry = logged(route)
  try {
    const answer = await socket.call(route, payload, headers)
    entry.answered({ route, headers, payload }, answer)
    if (answer.status >= 200 && answer.status < 300) return answer.payload
    throw Object.assign(new Error(answer.payload?.message ?? 'failed'), answer)
  } catch (error) {
    entry.failed(error)
    throw error
  }
}

function logged(route) {
  const started = performance.now()
  const status = element('b', { textContent: '…' })
  const time = element('span', { className: 'time' })
  const summary = element('summary', {}, status, element('code', { textContent: route }), time)
  const details = element('details', {}, summary)
  const item = element('li', { className: 'pending' }, details)
  $('wire').prepend(item)
  while ($('wire').children.length > 30) $('wire').lastChild.remove()
  return {
    answered(request, answer) {
      item.className = answer.status < 300 ? 'good' : 'bad'
      status.textContent = answer.status
      time.textContent = `${Math.round(performance.now() - started)} ms`
      details.append(frame('→', { uuid: answer.uuid, ...request }), frame('←', answer))
    },
    failed(error) {
      if (item.className !== 'pending') return
      item.className = 'bad'
      status.textContent = 'lost'
      details.append(error.message)
    },
  }
}

const frame = (arrow, content) =>
  element('pre', { textContent: `${arrow} ${JSON.stringify(content)}` })

/** An error that no part of the page has a place for. */
function show(error) {
  $('reader').replaceChildren(
    element('h2', { textContent: error.status ?? 'No answer' }),
    element('p', { textContent: error.message }),
  )
}

// --- Who is who

async function learnWhoIsWho() {
  const { user, people } = await call('me')
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
    socket.reopen()
  } catch (error) {
    $('person').value = me?.id ?? ''
    show(error)
  }
}

// --- Reading

const BADGES = { PUBLIC: '', MEMBERS: 'members', AUTHOR: 'author only' }

async function listArticles() {
  const articles = await call('list-articles')
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

async function read(id) {
  shown = id
  mark()
  try {
    const article = await call('get-article', undefined, { article: String(id) })
    if (shown === id) display(article)
  } catch (error) {
    if (shown === id) refuse(error)
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
  if (error.status !== 403) return show(error)
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
  $(name).oninput = () => {
    clearTimeout(typing)
    typing = setTimeout(() => check(name), 150)
  }
}

/** Ask the server about one field, while it is typed. */
async function check(field) {
  const value = $(field).value
  try {
    const { message } = await call('check-field', { field, value }, own())
    if ($(field).value === value) complain(field, message) // else a later answer is on its way
  } catch {
    // Saving asks again.
  }
}

$('write').onclick = () => edit()
$('cancel').onclick = () => ($('editor').hidden = true)

$('editor').onsubmit = async (event) => {
  event.preventDefault()
  $('editor-error').textContent = ''
  const draft = Object.fromEntries(FIELDS.map((name) => [name, $(name).value]))
  try {
    const article = await call(editing ? 'edit-article' : 'add-article', draft, own())
    $('editor').hidden = true
    shown = article.id
    display(article)
    $('reader').focus()
    await listArticles()
  } catch (error) {
    showMisfit(error)
  }
}

/** FastAPI's list of errors, each at its field. */
function showMisfit(error) {
  const misfits = (error.payload?.detail ?? []).filter(({ loc }) => FIELDS.includes(loc[1]))
  for (const { loc, msg } of misfits) complain(loc[1], msg)
  if (misfits.length) $(misfits[0].loc[1]).focus()
  else $('editor-error').textContent = error.message
}

// --- The quick one and the slow one

$('sum').onsubmit = async (event) => {
  event.preventDefault()
  // What is no number is sent as it is: to refuse it is the server's part.
  const numbers = $('numbers')
    .value.split(/[\s,;]+/)
    .filter(Boolean)
    .map((text) => (Number.isFinite(Number(text)) ? Number(text) : text))
  try {
    const { sum } = await call('math/sum', numbers)
    $('total').textContent = `= ${sum}`
  } catch (error) {
    const [misfit] = error.payload?.detail ?? []
    $('total').textContent = misfit ? `number ${misfit.loc[1] + 1}: ${misfit.msg}` : error.message
  }
}

$('race').onclick = async () => {
  $('race').disabled = true
  $('finish').replaceChildren()
  const arrives = async (name, answer) => {
    const started = performance.now()
    const outcome = await answer.then(
      () => `after ${Math.round(performance.now() - started)} ms`,
      (error) => error.message,
    )
    $('finish').append(element('li', { textContent: `${name}: ${outcome}` }))
  }
  await Promise.all([
    arrives('the slow one', call('slow', { seconds: 2 })),
    arrives('1 + 1', call('math/sum', [1, 1])),
    arrives('2 + 2', call('math/sum', [2, 2])),
    arrives('the list of articles', call('list-articles')),
  ])
  $('race').disabled = false
}
