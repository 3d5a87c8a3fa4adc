// Between the engine's names and moments and those of JavaScript. This is the one place that does it: the engine writes
// `retry_delay_minutes` and "2026-03-02T15:00:00Z", JavaScript `retryDelayMinutes` and a `Date`. What belongs to the user (variables,
// templates, options of a dialer) passes as it is.

import { types } from 'node:util'
import { InvalidError } from './errors'

/** A value that JSON can hold. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }

/** How moments look in JavaScript: as a `Date`, or, for stores, as whole microseconds since 1970, which lose nothing. */
type Moments = 'date' | 'micros'

// Their content is the user's: no name in it is touched.
const OPAQUE = new Set([
  'variables', 'data', 'options', 'metadata', 'dialer_options', 'texts', 'templates', 'fallback_values', 'variable_mappings',
  'available_variables', 'column_mappings', 'value', 'context', 'webhook_keys', 'agents', 'phone_numbers', 'headers', 'extra', 'arguments',
  'parameters',
])
// Their keys are values (dispositions, statuses, moments), what is under them is not.
const KEYED = new Set(['rules', 'dispositions', 'by_status', 'attempts_per_hour'])
// Fields that hold a moment and whose name does not end in `_at`.
const MOMENTS = new Set([
  'at', 'since', 'now', 'until', 'deadline', 'start', 'from', 'to', 'not_after', 'valid_until', 'earliest', 'next_start', 'first_due',
  'next_slot', 'horizon', 'last_import_date', 'estimated_completion', 'consent_moment',
])
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/

const camels = new Map<string, string>()
const snakes = new Map<string, string>()

/** `retry_delay_minutes` as `retryDelayMinutes`. */
export function camel(name: string): string {
  let found = camels.get(name)
  if (found === undefined) {
    found = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
    remember(camels, name, found)
  }
  return found
}

/** `retryDelayMinutes` as `retry_delay_minutes`. */
export function snake(name: string): string {
  let found = snakes.get(name)
  if (found === undefined) {
    found = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    remember(snakes, name, found)
  }
  return found
}

// Users may send any name; only so many are worth remembering.
function remember(names: Map<string, string>, from: string, to: string): void {
  if (names.size < 10_000) names.set(from, to)
}

function isMoment(name: string): boolean {
  return name.endsWith('_at') || MOMENTS.has(name)
}

/** Microseconds since 1970 of a text such as `2026-03-02T15:00:00.123456Z`. */
export function micros(text: string): number {
  const [whole = '', fraction = ''] = text.slice(0, -1).split('.')
  return Date.parse(`${whole}Z`) * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6))
}

/** The text of a moment in microseconds. */
export function text(micros: number): string {
  if (!(Math.abs(micros) <= 8.64e18)) throw new InvalidError('is no moment: whole microseconds since 1970 are expected')
  const rest = ((micros % 1_000_000) + 1_000_000) % 1_000_000
  return `${new Date((micros - rest) / 1000).toISOString().slice(0, 19)}.${String(rest).padStart(6, '0')}Z`
}

/** What the engine sends, in JavaScript's names. */
export function fromEngine(value: unknown, moments: Moments = 'date', field = ''): unknown {
  if (typeof value === 'string') {
    if (isMoment(field) && MOMENT.test(value)) return moments === 'date' ? new Date(value) : micros(value)
    return value
  }
  if (typeof value !== 'object' || value === null || OPAQUE.has(field)) return value
  if (Array.isArray(value)) {
    // Pairs of a moment and a channel have no names.
    const inside = field === 'recent' ? 'at' : ''
    return value.map((item) => (inside && Array.isArray(item) ? item.map((part) => fromEngine(part, moments, inside)) : fromEngine(item, moments)))
  }
  const out: Record<string, unknown> = {}
  const keyed = KEYED.has(field)
  for (const [name, item] of Object.entries(value)) put(out, keyed ? name : camel(name), fromEngine(item, moments, keyed ? '' : name))
  return out
}

// A plain assignment to this name would change what the object inherits from.
function put(out: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') Object.defineProperty(out, name, { value, enumerable: true, configurable: true, writable: true })
  else out[name] = value
}

/**
 * What goes to the engine, in its names. Dates become texts when they are written as JSON. What JSON would silently turn into "nothing" is
 * named instead: a moment that is none must not become "never".
 */
export function toEngine(value: unknown, moments: Moments = 'date', field = ''): unknown {
  try {
    return write(value, moments, field)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw new InvalidError('the value is nested too deeply, or contains itself', { cause })
  }
}

/** Complains about a number that is none. */
export function finite(value: number, field: string): number {
  if (Number.isFinite(value)) return value
  throw new InvalidError(`must be a finite number (field ${field})`, { context: { field } })
}

function write(value: unknown, moments: Moments, field: string): unknown {
  if (typeof value === 'number') {
    finite(value, field || 'number')
    return moments === 'micros' && isMoment(field) ? text(value) : value
  }
  if (typeof value !== 'object' || value === null || OPAQUE.has(field)) return value
  if (types.isDate(value)) {
    if (Number.isNaN(value.getTime())) throw new InvalidError(`is a Date without a moment (field ${field})`, { context: { field } })
    return value
  }
  if (Array.isArray(value)) {
    const inside = field === 'recent' ? 'at' : ''
    return value.map((item: unknown) => (inside && Array.isArray(item) ? item.map((part) => write(part, moments, inside)) : write(item, moments, '')))
  }
  const out: Record<string, unknown> = {}
  const keyed = KEYED.has(field)
  for (const [name, item] of Object.entries(value)) {
    const there = keyed ? name : snake(name)
    put(out, there, write(item, moments, keyed ? '' : there))
  }
  return out
}

// Fields of a contact that JavaScript writes in its own way. All other keys of a row are the user's.
const ROW_FIELDS = new Set(['phoneNumber', 'firstName', 'lastName', 'fullName', 'timeZone', 'companyName'])

/** Rows as a file would have them: the fields of a contact in the engine's names, everything else as it is. */
export function rows(given: readonly Record<string, unknown>[]): unknown[] {
  return given.map((row) => {
    if (typeof row !== 'object' || row === null) return row
    return Object.fromEntries(Object.entries(row).map(([name, value]) => [ROW_FIELDS.has(name) ? snake(name) : name, value]))
  })
}
