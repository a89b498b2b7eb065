// The two things this page asks of a framework.

export const $ = (id) => document.getElementById(id)

/** An element with properties and children; text stays text, whatever it contains. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}
