/** A topic: listened to, and published to where it lets clients. */

import { Outcome } from './answer.js'
import type { App, Panel } from './app.js'
import type { Asked } from './code.js'
import type { Entry } from './contract.js'
import { announce, clock, h } from './dom.js'
import { Editor } from './editor.js'
import { article, types } from './look.js'
import { isObject } from './schema.js'
import { work } from './work.js'

/** The name that a pattern has with these parameters. */
export function topicName(pattern: string, parameters: unknown): string {
  return pattern.replace(/\{(\w+)(:\w+)?\}/g, (whole, name) => `${(isObject(parameters) && parameters[name]) ?? whole}`)
}

export function topicPanel(app: App, entry: Entry): Panel {
  const { name: pattern, about } = entry
  const { parameters = {}, event, snapshot, publish, publish_event, errors } = about
  const required = Object.keys(parameters)
  const label = h('code.topic', pattern)
  const show = () =>
    queueMicrotask(() => {
      try {
        label.textContent = named()
      } catch {
        label.textContent = pattern
      }
    })
  const editor = required[0] ? new Editor(app.schemas, { type: 'object', properties: parameters, required }, 'Parameters', undefined, show) : undefined
  const named = () => topicName(pattern, editor?.take())
  const outcome = new Outcome('Events', 'events')

  const listen = async ({ name }: Asked, signal: AbortSignal) => {
    outcome.going('joining')
    const events = app.socket.subscribe(name, {
      signal,
      onSubscribed(state) {
        outcome.first()
        outcome.going('subscribed')
        if (snapshot != null) outcome.value(`state at ${clock(Date.now())}`, state)
        announce(`subscribed to ${name}`)
      },
      onGap: ({ reloadAfterMs }) => outcome.gap(`gap: events are lost, state may be read anew in ${Math.round(reloadAfterMs)} ms`),
    })
    for await (const one of events) outcome.item(one)
  }
  const listening = work({
    words: ['Subscribe', 'Unsubscribe'],
    outcome,
    asked: () => ({ kind: 'topic', url: app.url, name: named() }),
    run: listen,
    editors: { payload: editor },
    mark: (text) => app.mark(entry, text),
  })
  const publishing = publish && publisher(app, publish_event ?? event ?? {}, named)
  return {
    element: article(
      entry,
      [about.kept ? 'kept for those who come back' : 'not kept', publish && 'clients may publish'],
      editor?.element,
      h('p.resolved', 'Topic ', label),
      listening.element,
      outcome.element,
      publishing && publishing.element,
      types(app, { event, 'state (snapshot)': snapshot, 'published event': publish_event }, errors),
    ),
    go: () => (publishing && publishing.element.contains(document.activeElement) ? publishing : listening).go(),
    stop: listening.stop,
    end: listening.stop,
  }
}

function publisher(app: App, schema: NonNullable<Entry['about']['event']>, named: () => string) {
  const event = new Editor(app.schemas, schema, 'Event')
  const outcome = new Outcome('Answer to the publication')
  const { element, go } = work({
    words: ['Publish'],
    outcome,
    asked: () => ({ kind: 'publish', url: app.url, name: named(), payload: event.take() }),
    async run({ name, payload }, signal) {
      const answer = await app.socket.request('$pub', { topic: name, payload }, { signal })
      outcome.end(answer.status, answer.payload)
      return answer.payload
    },
    editors: { 'payload.payload': event },
  })
  return { element: h('section', { 'aria-label': 'Publish' }, h('h3', 'Publish'), event.element, element, outcome.element), go }
}
