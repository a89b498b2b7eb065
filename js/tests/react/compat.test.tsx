/** The old provider and hook, the old README’s component, and the defects of both. */

import { act, StrictMode, useEffect, type ReactNode } from 'react'
import { createRoot } from 'react-dom/client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Message, ObservableSocketProvider, useObservableSocket, type OnMessage } from '../../src/compat.js'
import { FakeWebSocket, go, still, URL } from '../support/fake.js'

let unmount: () => void
let page: HTMLElement
let context: ReturnType<typeof useObservableSocket>

beforeEach(() => {
  still()
  vi.stubGlobal('WebSocket', FakeWebSocket)
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', true)
})
afterEach(() => {
  unmount?.()
  go()
})

function show(node: ReactNode) {
  page = document.body.appendChild(document.createElement('div'))
  const root = createRoot(page)
  act(() => root.render(node))
  unmount = () => act(() => root.unmount())
}

function Dashboard({ onMessage }: { onMessage?: OnMessage }) {
  context = useObservableSocket()
  const { addSocket, getSocket } = context
  useEffect(() => {
    addSocket('app', URL, onMessage, false, { globalHeaders: { apiKey: '123' } })
  }, [addSocket, onMessage])
  return <i>{String(getSocket('app')?.socketState)}</i>
}

const dashboard = (more?: { onMessage?: OnMessage }) => (
  <StrictMode>
    <ObservableSocketProvider>
      <Dashboard {...more} />
    </ObservableSocketProvider>
  </StrictMode>
)
const pass = (ms: number) => act(() => void vi.advanceTimersByTime(ms))

test('under StrictMode one socket is made, it lives, and none is left', () => {
  show(dashboard())
  pass(1_000)
  expect(FakeWebSocket.all).toHaveLength(1)
  act(() => void FakeWebSocket.last.accept())
  pass(1_000)
  expect(page.textContent).toBe('true')
  expect(FakeWebSocket.living).toHaveLength(1)
  unmount()
  pass(0)
  expect(FakeWebSocket.living).toEqual([])
  expect(vi.getTimerCount()).toBe(0)
})

test('the component shows whether it is connected', () => {
  show(dashboard())
  expect(page.textContent).toBe('false')
  act(() => void FakeWebSocket.last.accept())
  expect(page.textContent).toBe('true')
  act(() => FakeWebSocket.last.hangsUp())
  expect(page.textContent).toBe('false')
})

test('a socket calls and gets its pushes', async () => {
  const onMessage = vi.fn()
  show(dashboard({ onMessage }))
  act(() => void FakeWebSocket.last.accept())
  const answer = context.getSocket('app')!.socket.sendAndWait(new Message('sayHello', { name: 'World' }))
  const frame = FakeWebSocket.last.frames[0]!
  expect(frame).toMatchObject({ route: 'sayHello', headers: { apiKey: '123' }, payload: { name: 'World' }, status: 200 })
  FakeWebSocket.last.answers('Hello, World!')
  expect((await answer).message?.payload).toBe('Hello, World!')
  FakeWebSocket.last.says({ uuid: '#', route: 'news', payload: 1 })
  expect(onMessage).toHaveBeenCalledTimes(2)
})

test('a name that exists is returned, not replaced; and is there at once', () => {
  show(dashboard())
  const add = () => context.addSocket('other', URL)
  let [first, second] = [] as unknown as ReturnType<typeof add>[]
  act(() => void ([first, second] = [add(), add()]))
  expect(first).toMatchObject({ ok: true })
  expect(second).toEqual({ ok: false, reason: 'exists', item: first!.item })
  expect(context.getSocket('other')).toBe(first!.item)
})

test('force replaces it, closes the old one, and only the new one has a say', () => {
  show(dashboard())
  const before = FakeWebSocket.last
  act(() => void before.accept())
  let item!: ReturnType<typeof context.addSocket>
  act(() => void (item = context.addSocket('app', `${URL}/2`, undefined, true)))
  expect(item.ok).toBe(true)
  expect(before.readyState).toBe(2)
  expect(page.textContent).toBe('false')
  act(() => void FakeWebSocket.last.accept())
  expect(page.textContent).toBe('true')
  expect(FakeWebSocket.living).toHaveLength(1)
})

test('a removed socket is closed and forgotten', () => {
  show(dashboard())
  let removed: boolean[] = []
  act(() => void (removed = [context.removeSocket('app'), context.removeSocket('app')]))
  expect(removed).toEqual([true, false])
  expect(context.getSocket('app')).toBeUndefined()
  expect(FakeWebSocket.living).toEqual([])
  pass(1e6)
  expect(FakeWebSocket.all).toHaveLength(1)
})

test('addSocket and removeSocket stay the same, so that effects on them run once', () => {
  show(dashboard())
  const { addSocket, removeSocket } = context
  act(() => void FakeWebSocket.last.accept())
  expect(context.addSocket).toBe(addSocket)
  expect(context.removeSocket).toBe(removeSocket)
})

test('names of Object’s own are no sockets', () => {
  show(dashboard())
  expect(context.getSocket('constructor')).toBeUndefined()
})

test('without its provider, the hook says so', () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  expect(() => show(<Dashboard />)).toThrow('useObservableSocket must be used within an ObservableSocketProvider')
})
