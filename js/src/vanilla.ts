/** The old package's name for the entry without React. */

export * from './index.js'
