/**
 * Elements, and the few things one does with them.
 *
 * Text becomes text and nothing else: no markup is ever read, and no attribute is set that a page could run or fetch.
 */

export type Child = Node | string | number | null | undefined | false | Child[]
type Given = Record<string, unknown>
type Tag<S> = S extends `${infer T}.${string}` ? T : S
type Made<S> = Tag<S> extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[Tag<S>] : HTMLElement

const SAFE = /^(id|for|type|name|role|tabindex|title|placeholder|rows|open|autocomplete|spellcheck|inputmode|(aria|data)-\w+)$/

/** `h('p.hint', { id }, 'text', child)`: functions are listeners, names of its own are properties. */
export function h<S extends string>(spec: S, ...rest: (Given | Child)[]): Made<S> {
  const [tag, ...classes] = spec.split('.')
  const element = document.createElement(tag!)
  if (classes[0]) element.className = classes.join(' ')
  if (rest[0]?.constructor === Object) for (const [name, value] of Object.entries(rest.shift() as Given)) set(element, name, value)
  fill(element, ...(rest as Child[]))
  return element as Made<S>
}

export function set(element: HTMLElement, name: string, value: unknown): void {
  if (typeof value === 'function') element.addEventListener(name, value as () => void)
  else if (/^(value|checked|disabled|hidden|readOnly)$/.test(name)) (element as any)[name] = value
  else if (value == null || value === false) element.removeAttribute(name)
  else if (SAFE.test(name) || (name === 'href' && /^#/.test(`${value}`))) element.setAttribute(name, `${value}`)
  else throw new Error(name)
}

export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...(children.flat(9 as 1) as Child[]).filter((one) => one != null && one !== false).map((one) => one as string))
}

export const by = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T

let last = 0
export const newId = (): string => `x${++last}`

export const button = (text: Child, click: () => void, given: Given = {}, looks = ''): HTMLButtonElement =>
  h(`button${looks}` as 'button', { type: 'button', click, ...given }, text)

export const quiet = (text: Child, click: () => void, given?: Given): HTMLButtonElement => button(text, click, given, '.quiet')

/** However often it is asked for, it runs once before a frame is painted, and not for each: the rest has a turn, too. */
export function perFrame(run: () => void): () => void {
  let asked = false
  let last = 0
  const paint = () =>
    requestAnimationFrame((now) => {
      asked = false
      last = now
      run()
    })
  return () => {
    if (!asked) setTimeout(paint, last + 60 - performance.now())
    asked = true
  }
}

/** For those who do not see what changed. */
export const announce = (text: string): void => {
  by('announcer').textContent = text
}

export const json = (value: unknown): string => JSON.stringify(value, null, 2) ?? ''

export const join = (...parts: unknown[]): string => parts.filter(Boolean).join('; ')

/** A button that takes a text away. What it throws, it throws at who clicks. */
export function copier(word: string, text: () => string, failed?: (error: unknown) => void): HTMLButtonElement {
  const own = quiet(word, async () => {
    try {
      const copied = text()
      // On an insecure origin there is no clipboard to ask.
      await (navigator.clipboard?.writeText(copied) ?? copyByHand(copied))
      announce((own.textContent = 'Copied'))
      setTimeout(() => (own.textContent = word), 1_500)
    } catch (error) {
      failed?.(error)
    }
  })
  return own
}

function copyByHand(text: string): void {
  const area = h('textarea.unseen', { value: text })
  const before = document.activeElement as HTMLElement | null
  // Within a dialog that is open nothing outside of it can be selected; there are no copiers in dialogs.
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
  before?.focus()
}

export function save(name: string, text: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text]))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

export const clock = (at: number): string => new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(11, 23)

export const ms = (time: number): string => `${time.toFixed(time < 10 ? 1 : 0)} ms`

/** What lasts as long as the tab; it may be forbidden. */
export function stored(key: string, value?: string): string {
  try {
    const name = `console.${key}`
    if (value) sessionStorage.setItem(name, value)
    else if (value === '') sessionStorage.removeItem(name)
    return sessionStorage.getItem(name) ?? ''
  } catch {
    return ''
  }
}
