import { ResponseError } from 'fastapi-observable-socket'
import { useCall, useConnectionState, useSocket } from 'fastapi-observable-socket/react'
import { useEffect, useState } from 'react'

export const App = () => (
  <>
    <header>
      <h1>The Newsroom</h1>
      <Connection />
      <SignIn />
    </header>
    <Articles />
    <Sum />
  </>
)

function Connection() {
  const state = useConnectionState()
  const socket = useSocket()
  return (
    <p className="connection">
      <output id="state">{state}</output>
      {state === 'waiting' && <button onClick={() => socket.reconnect()}>Now</button>}
    </p>
  )
}

/** Calls at the first connection, and again at each that follows: a new one may be of somebody else. */
function useAtConnection(call: () => unknown) {
  const state = useConnectionState()
  useEffect(() => {
    if (state === 'open') call()
  }, [state, call])
}

function SignIn() {
  const socket = useSocket()
  const { data: me, call } = useCall('me')
  useAtConnection(call)

  async function signIn(person: string) {
    await fetch('/sign-in', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ person: person ? Number(person) : null }),
    })
    socket.reconnect() // the cookie travels with the handshake
  }

  return (
    <label>
      Sign in as{' '}
      <select id="person" value={me?.user?.id ?? ''} onChange={({ target }) => signIn(target.value)}>
        <option value="">nobody</option>
        {me?.people.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
    </label>
  )
}

function Articles() {
  const { data: articles, call } = useCall('list-articles')
  useAtConnection(call)
  const article = useCall('get-article')
  const read = (id: number) => article.call(undefined, { headers: { article: String(id) } })

  return (
    <main>
      <ul>
        {articles?.map(({ id, title, author }) => (
          <li key={id}>
            <button onClick={() => read(id)}>{title}</button> <small>{author.name}</small>
          </li>
        ))}
      </ul>
      <article aria-busy={article.pending}>
        {article.error ? (
          <Failure of={article.error} />
        ) : article.data ? (
          <>
            <h2>{article.data.title}</h2>
            <p>{article.data.body}</p>
          </>
        ) : (
          <p>Choose an article.</p>
        )}
      </article>
    </main>
  )
}

function Sum() {
  const [text, setText] = useState('1 2 3')
  const sum = useCall('math/sum')
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        sum.call(text.split(/\s+/).map(Number)) // what is no number becomes null, and the server says so
      }}
    >
      <input aria-label="Numbers to add" value={text} onChange={({ target }) => setText(target.value)} />{' '}
      <button disabled={sum.pending}>Add</button>{' '}
      <output id="total">{sum.error ? <Failure of={sum.error} /> : sum.data && `= ${sum.data.sum}`}</output>
    </form>
  )
}

function Failure({ of: error }: { of: unknown }) {
  if (error instanceof ResponseError && error.status === 403) return <>Not for you: sign in.</>
  if (error instanceof ResponseError) return <>{error.payload?.detail?.[0]?.msg ?? error.message}</>
  return <>No answer: {String(error)}</>
}
