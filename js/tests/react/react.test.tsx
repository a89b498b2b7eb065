import { act, StrictMode, version, type ReactNode } from 'react'
import { createRoot } from 'react-dom/client'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SocketProvider, useCall, useConnectionState, useSocket } from '../../src/react.js'
import { FakeWebSocket, go, socketWith, still, URL } from '../support/fake.js'

let unmount: () => void
let page: HTMLElement

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
  return (next: ReactNode) => act(() => root.render(next))
}

const lazy = () => socketWith({ lazy: true })
const Show = () => <i>{useConnectionState()}</i>

test(`this is React ${version}`, ({ task }) => {
  expect(task.file.projectName).toBe(`react ${version.split('.')[0]}`)
})

describe('SocketProvider', () => {
  test('holds the socket while it is mounted, one connection under StrictMode', () => {
    const socket = lazy()
    show(
      <StrictMode>
        <SocketProvider socket={socket}>
          <Show />
        </SocketProvider>
      </StrictMode>,
    )
    act(() => void vi.advanceTimersByTime(5_000))
    expect(FakeWebSocket.all).toHaveLength(1)
    act(() => void FakeWebSocket.last.accept())
    expect(page.textContent).toBe('open')
    unmount()
    act(() => void vi.advanceTimersByTime(1_000))
    expect(socket.state).toBe('idle')
    expect(FakeWebSocket.living).toEqual([])
  })

  test('makes its own socket from a url: one connection under StrictMode, and none is left', () => {
    show(
      <StrictMode>
        <SocketProvider url={URL}>
          <Show />
        </SocketProvider>
      </StrictMode>,
    )
    act(() => void vi.advanceTimersByTime(5_000))
    expect(FakeWebSocket.all).toHaveLength(1)
    unmount()
    act(() => void vi.advanceTimersByTime(1_000))
    expect(FakeWebSocket.living).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('given another socket, holds that one', () => {
    const [one, two] = [lazy(), lazy()]
    const again = show(<SocketProvider socket={one} />)
    again(<SocketProvider socket={two} />)
    vi.advanceTimersByTime(1_000)
    expect([one.state, two.state]).toEqual(['idle', 'connecting'])
  })

  test('does not close a socket that has its own life', () => {
    const socket = socketWith()
    show(<SocketProvider socket={socket} />)
    unmount()
    vi.advanceTimersByTime(5_000)
    expect(socket.state).toBe('connecting')
  })

  test('a component that only has the socket renders once, whatever happens to it', () => {
    const renders = vi.fn()
    const Bystander = () => (renders(), <b>{useSocket().name}</b>)
    show(
      <SocketProvider socket={lazy()}>
        <Bystander />
        <Show />
      </SocketProvider>,
    )
    act(() => void FakeWebSocket.last.accept())
    act(() => FakeWebSocket.last.says({ uuid: '#', route: 'news' }))
    act(() => FakeWebSocket.last.hangsUp())
    expect(page.textContent).toBe('waiting')
    expect(renders).toHaveBeenCalledOnce()
  })
})

test('without a provider, the error says what is missing', () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  expect(() => show(<Show />)).toThrow('useSocket needs a <SocketProvider> above it')
})

describe('useCall', () => {
  let sum: ReturnType<typeof useCall<'math/sum'>>
  const Sum = () => {
    sum = useCall('math/sum')
    return <i>{sum.pending ? 'pending' : JSON.stringify(sum.data ?? (sum.error as Error)?.message)}</i>
  }
  const mount = () => {
    const socket = socketWith()
    show(
      <StrictMode>
        <SocketProvider socket={socket}>
          <Sum />
        </SocketProvider>
      </StrictMode>,
    )
    return FakeWebSocket.last.accept()
  }
  const settle = (run: () => void) => act(async () => run())

  test('shows what becomes of a call', async () => {
    const ws = mount()
    await settle(() => void sum.call([1, 2]))
    expect(page.textContent).toBe('pending')
    await settle(() => ws.answers(3))
    expect(page.textContent).toBe('3')
  })

  test('shows an error, and a promise that nobody takes does no harm', async () => {
    const ws = mount()
    await settle(() => void sum.call([]))
    await settle(() => ws.answers({ message: 'nothing to add' }, { status: 400 }))
    expect(page.textContent).toBe('"nothing to add"')
    expect(sum.pending).toBe(false)
  })

  test('the latest call counts, in whatever order they are answered', async () => {
    const ws = mount()
    await settle(() => {
      void sum.call([1])
      void sum.call([2])
    })
    await settle(() => ws.answers('new', { to: 1 }))
    await settle(() => ws.answers('old', { to: 0 }))
    expect(page.textContent).toBe('"new"')
  })

  test('keeps the last data while the next is on its way, and when that fails', async () => {
    const ws = mount()
    await settle(() => void sum.call([1]))
    await settle(() => ws.answers(1))
    await settle(() => void sum.call([2]))
    expect(sum).toMatchObject({ data: 1, pending: true })
    await settle(() => ws.answers(null, { status: 500 }))
    expect(sum).toMatchObject({ data: 1, pending: false, error: { status: 500 } })
  })

  test('cancel leaves it, here and on the server; so does a signal', async () => {
    const ws = mount()
    await settle(() => void sum.call([1]))
    await settle(() => sum.cancel())
    expect(sum).toMatchObject({ pending: false, error: { name: 'AbortError' } })
    const stop = new AbortController()
    await settle(() => void sum.call([1], { signal: stop.signal }))
    await settle(() => stop.abort('enough'))
    expect(sum).toMatchObject({ pending: false, error: 'enough' })
    expect(ws.routes).toEqual(['math/sum', '$cancel', 'math/sum', '$cancel'])
  })

  test('its functions stay the same', async () => {
    const ws = mount()
    const { call, cancel } = sum
    await settle(() => void call([1]))
    await settle(() => ws.answers(1))
    expect(sum.call).toBe(call)
    expect(sum.cancel).toBe(cancel)
  })
})
