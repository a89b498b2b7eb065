/** A topic: listened to, and published to where it lets clients. */

import { outcome } from './answer.js'
import type { App, Panel } from './app.js'
import type { Entry } from './contract.js'
import { announce, clock, h, ms } from './dom.js'
import { editor, type Editor } from './editor.js'
import { article, types } from './look.js'
import { isObject } from './schema.js'
import { work } from './work.js'

/** The name that a pattern has with these parameters. */
export function topicName(pattern: string, parameters: unknown): string {
  return pattern.replace(/\{(\w+)(:\w+)?\}/g, (whole, name) => `${(isObject(parameters) && parameters[name]) ?? whole}`)
}

export function topicPanel(app: App, entry: Entry): Panel {
  const { name: pattern, about } = entry
  const { parameters = {}, event = {}, snapshot, publish, publish_event, errors } = about
  const { url, socket } = app
  const required = Object.keys(parameters)
  const label = h('code.topic', pattern)
  let values: Editor | undefined
  const show = () => {
    label.textContent = topicName(pattern, values?.value)
  }
  if (required[0]) values = editor(app.schemas, { type: 'object', properties: parameters, required }, 'Parameters', undefined, show)
  show()
  const named = () => topicName(pattern, values?.take())
  const events = outcome('Events', 'events')
  const listening = work({
    words: ['Subscribe', 'Unsubscribe'],
    outcome: events,
    asked: () => ({ kind: 'topic', url, name: named() }),
    async run({ name }, signal) {
      events.going('joining')
      const many = socket.subscribe(name, {
        signal,
        onSubscribed(state) {
          events.first()
          events.going('subscribed')
          if (snapshot != null) events.value(`state at ${clock()}`, state)
          announce(`subscribed to ${name}`)
        },
        onGap: ({ reloadAfterMs }) => events.gap(`gap: events are lost, read anew after ${ms(reloadAfterMs)}`),
      })
      for await (const one of many) events.item(one)
    },
    editors: { payload: values },
    mark: (text) => app.mark(entry, text),
  })
  const sent = editor(app.schemas, publish_event ?? event, 'Event')
  const answer = outcome('Answer')
  const publishing = work({
    words: ['Publish'],
    outcome: answer,
    asked: () => ({ kind: 'publish', url, name: named(), payload: sent.take() }),
    async run({ name, payload }, signal) {
      const { status, payload: given } = await socket.request('$pub', { topic: name, payload }, { signal })
      answer.end(status, given)
      return given
    },
    editors: { 'payload.payload': sent },
  })
  const place = publish && h('section', { 'aria-label': 'Publish' }, h('h3', 'Publish'), sent.element, publishing.element, answer.element)
  return {
    element: article(
      entry,
      [about.kept && 'kept', publish && 'clients may publish'],
      values?.element,
      h('p', 'Topic ', label),
      listening.element,
      events.element,
      place,
      types(app, { event, snapshot, publish_event }, errors),
    ),
    go: () => (place && place.contains(document.activeElement) ? publishing : listening).go(),
    stop: listening.stop,
    end: listening.stop,
  }
}
