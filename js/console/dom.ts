/** Elements, and the few things one does with them. Text becomes text and nothing else: no markup is ever read. */

export type Child = Node | string | number | null | undefined | false | Child[]
type Given = Record<string, unknown>
type Tag<S> = S extends `${infer T}.${string}` ? T : S
type Made<S> = Tag<S> extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[Tag<S>] : HTMLElement

/** `h('p.hint', { id }, 'text', child)`: names with a hyphen are attributes, all others properties. */
export function h<S extends string>(spec: S, ...rest: (Given | Child)[]): Made<S> {
  const [tag, ...classes] = spec.split('.')
  const element: any = document.createElement(tag!)
  element.className = classes.join(' ')
  if (rest[0]?.constructor === Object)
    for (const [name, value] of Object.entries(rest.shift() as Given)) {
      if (/-|role/.test(name)) element.setAttribute(name, value)
      else element[name] = value
    }
  fill(element, ...(rest as Child[]))
  return element
}

export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...(children.flat(9 as 1) as Child[]).filter((one) => one != null && one !== false).map((one) => one as string))
}

export const by = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T

let last = 0
export const newId = (): string => `x${++last}`

export const button = (text: Child, onclick: () => void, given: Given = {}, looks = '.quiet'): HTMLButtonElement =>
  h(`button${looks}` as 'button', { type: 'button', onclick, ...given }, text)

/** However often it is asked for, it runs once in a while, and the rest has a turn, too. */
export function nowAndThen(run: () => void): () => void {
  let asked = false
  return () => {
    if (!asked)
      setTimeout(() => {
        asked = false
        run()
      }, 100)
    asked = true
  }
}

/** For those who do not see what changed. */
export const announce = (text: string): void => {
  by('announcer').textContent = text
}

export const json = (value: unknown): string => JSON.stringify(value, null, 2) ?? ''

/** Not by the clipboard's own interface: on an insecure origin there is none. */
export function copy(text: string): void {
  const area = h('textarea', { value: text })
  const before = document.activeElement as HTMLElement
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
  before.focus()
}

export const clock = (at = Date.now()): string => new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(11, 23)

export const ms = (time: number): string => `${time.toFixed(time < 10 ? 1 : 0)} ms`
