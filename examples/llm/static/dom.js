// The two things this page asks of a framework.

/** @type {(id: string) => any} The compiler does not know the page: what is called on it is not checked. */
export const $ = (id) => document.getElementById(id)

/**
 * An element with properties and children; text stays text, whatever it contains.
 *
 * @param {string} tag
 * @param {object} properties
 * @param {(string | Node)[]} children
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}
