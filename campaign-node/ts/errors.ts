import { camel } from './convert'

/** What sort of thing went wrong; see {@link CampaignError.kind}. */
export type ErrorKind =
  | 'invalid' | 'not_found' | 'conflict' | 'state' | 'template' | 'throttled' | 'unavailable' | 'corrupt' | 'full' | 'stale'
  | 'closed' | 'provider' | 'user' | 'internal'

/** What an error is made with. */
export interface ErrorDetails {
  /** Milliseconds after which the same call may succeed. */
  retryAfterMs?: number
  /** Where it happened: `field`, `campaign`, `line` and so on. */
  context?: Record<string, string>
  /** What caused it. */
  cause?: unknown
}

/**
 * Every error of the engine. `message` is for people and names where it happened; programs branch on the class, on {@link CampaignError.kind} or
 * on {@link CampaignError.code}. A store written in JavaScript throws these as well, for example `new ConflictError('...')`.
 */
export class CampaignError extends Error {
  /** A stable code such as `ERR_CAMPAIGN_NOT_FOUND`. */
  readonly code: string
  /** What sort of thing went wrong. */
  readonly kind: ErrorKind
  /** Milliseconds after which the same call may succeed; `undefined` when waiting does not help. */
  readonly retryAfterMs: number | undefined
  /** Where it happened. */
  readonly context: Readonly<Record<string, string>>

  /** An error of this kind. */
  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.name = new.target.name
    this.kind = kind
    this.code = `ERR_CAMPAIGN_${kind.toUpperCase()}`
    this.retryAfterMs = details.retryAfterMs
    this.context = details.context ?? {}
  }
}

/** An argument, a field or a file is not acceptable as it is. */
export class InvalidError extends CampaignError {
  /** With a message that says what to do. */
  constructor(message: string, details?: ErrorDetails) { super('invalid', message, details) }
}
/** The thing named does not exist. */
export class NotFoundError extends CampaignError {
  /** With a message that names it. */
  constructor(message: string, details?: ErrorDetails) { super('not_found', message, details) }
}
/** The thing exists already, or somebody else changed it in between. */
export class ConflictError extends CampaignError {
  /** With a message that says what was changed. */
  constructor(message: string, details?: ErrorDetails) { super('conflict', message, details) }
}
/** The step is not possible in the present state, for example pausing a draft. */
export class StateError extends CampaignError {
  /** With a message that says why. */
  constructor(message: string, details?: ErrorDetails) { super('state', message, details) }
}
/** A template does not compile or render; `context` has line and column. */
export class TemplateError extends CampaignError {
  /** With a message that says what is wrong in it. */
  constructor(message: string, details?: ErrorDetails) { super('template', message, details) }
}
/** A limit of the engine or of a provider was reached; nothing was done. */
export class ThrottledError extends CampaignError {
  /** With a message that names the limit. */
  constructor(message: string, details?: ErrorDetails) { super('throttled', message, details) }
}
/** The store cannot be reached or is busy; trying again can help. */
export class UnavailableError extends CampaignError {
  /** With a message that names the store. */
  constructor(message: string, details?: ErrorDetails) { super('unavailable', message, details) }
}
/** The store is damaged or from a newer version. */
export class CorruptError extends CampaignError {
  /** With a message that says what cannot be read. */
  constructor(message: string, details?: ErrorDetails) { super('corrupt', message, details) }
}
/** The disk (or the quota) is full. */
export class FullError extends CampaignError {
  /** With a message that says what is full. */
  constructor(message: string, details?: ErrorDetails) { super('full', message, details) }
}
/** A node has lost its lease; its claims belong to others now. */
export class StaleError extends CampaignError {
  /** With a message that says so. */
  constructor(message: string, details?: ErrorDetails) { super('stale', message, details) }
}
/** The engine or the store is closed. */
export class ClosedError extends CampaignError {
  /** With a message that says what is closed. */
  constructor(message: string, details?: ErrorDetails) { super('closed', message, details) }
}
/** The provider reported an error. */
export class ProviderError extends CampaignError {
  /** With what the provider says. */
  constructor(message: string, details?: ErrorDetails) { super('provider', message, details) }
}
/** Code of yours (a dialer, a store, a campaign) threw; `cause` is the very object that it threw. */
export class UserCodeError extends CampaignError {
  /** With a message that says whose method it was. */
  constructor(message: string, details?: ErrorDetails) { super('user', message, details) }
}
/** A defect of the engine itself. */
export class InternalError extends CampaignError {
  /** With a message for a report. */
  constructor(message: string, details?: ErrorDetails) { super('internal', message, details) }
}

const CLASSES: Record<ErrorKind, new (message: string, details?: ErrorDetails) => CampaignError> = {
  invalid: InvalidError, not_found: NotFoundError, conflict: ConflictError, state: StateError, template: TemplateError,
  throttled: ThrottledError, unavailable: UnavailableError, corrupt: CorruptError, full: FullError, stale: StaleError,
  closed: ClosedError, provider: ProviderError, user: UserCodeError, internal: InternalError,
}

const DIAL_ERROR_KINDS = ['throttled', 'transient', 'permanent', 'suppressed', 'in_doubt'] as const

/** Why a hand-off led to no outcome; see {@link DialError}. */
export type DialErrorKind = (typeof DIAL_ERROR_KINDS)[number]

/**
 * What a dialer throws when a hand-off led to no outcome. Two sorts that must not be confused: all kinds but `in_doubt` say that
 * *certainly nothing was placed*. Anything else a dialer throws counts as `in_doubt`, because nobody knows.
 *
 * | kind | what follows |
 * |---|---|
 * | `throttled` | consumes no attempt; all hand-offs of the account wait for `retryAfterMs` |
 * | `transient` | consumes an attempt, another may follow |
 * | `permanent` | ends the contact |
 * | `suppressed` | the provider knows that the person opted out: ends the contact and suppresses the number |
 * | `in_doubt` | `find` is asked; nobody is called again blindly |
 */
export class DialError extends Error {
  /** Which of the five it is. */
  readonly kind: DialErrorKind
  /** For `throttled`: how long to wait. */
  readonly retryAfterMs: number | undefined

  /**
   * An error of this kind; `message` is kept in the history and must hold no personal data. A `retryAfterMs` that is no time (a header that was
   * missing, say) counts as none.
   */
  constructor(kind: DialErrorKind, message?: string, details: { retryAfterMs?: number | undefined; cause?: unknown } = {}) {
    if (!DIAL_ERROR_KINDS.includes(kind)) {
      throw new InvalidError(`the kind of a DialError must be one of ${DIAL_ERROR_KINDS.join(', ')}`, { context: { field: 'kind' } })
    }
    super(message ?? kind.replace('_', ' '), 'cause' in details ? { cause: details.cause } : undefined)
    this.name = 'DialError'
    this.kind = kind
    this.retryAfterMs = time(details.retryAfterMs)
  }
}

function time(milliseconds: number | undefined): number | undefined {
  return Number.isFinite(milliseconds) && Number(milliseconds) >= 0 ? milliseconds : undefined
}

/** The name of an error's class, which may be told to anybody. Whatever else stands in its place may be somebody's data. */
export function nameOf(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return typeof thrown
    return /^[A-Za-z_$][\w$]{0,63}$/.test(thrown.name) ? thrown.name : 'Error'
  } catch {
    return 'Error'
  }
}

/** An error as the native half describes it. */
export interface NativeError {
  /** Its kind. */
  kind: ErrorKind
  /** The message with its context. */
  text: string
  /** Its code. */
  code: string
  /** Where it happened. */
  context: Record<string, string>
  /** Seconds after which trying again can help. */
  retry_after: number | null
  /** The number the original is kept under. */
  error?: number
  /** The text of a source that is no error of JavaScript. */
  cause?: string
}

/** Errors that user code threw, for as long as the native half may ask for them. */
export class Originals {
  readonly #kept = new Map<number, unknown>()
  #last = 0

  /** Keeps what was thrown and describes it for the native half. */
  describe(thrown: unknown): Record<string, unknown> {
    const error = ++this.#last
    this.#kept.set(error, thrown)
    const name = nameOf(thrown)
    try {
      // Anybody may have changed the fields of these, or made them throw.
      const said = (by: CampaignError | DialError): Record<string, unknown> => {
        const milliseconds = time(by.retryAfterMs)
        return { kind: String(by.kind), message: String(by.message), retry_after: milliseconds === undefined ? null : milliseconds / 1000 }
      }
      if (thrown instanceof DialError) return { error, name, dial: said(thrown) }
      if (thrown instanceof CampaignError) return { error, name, raised: said(thrown) }
    } catch {
      // It is an error like any other, then.
    }
    return { error, name }
  }

  /** The native half will not ask for it any more. */
  forget(error: number): void {
    this.#kept.delete(error)
  }

  /** An object of the fitting class. An error of the package that user code threw comes back as it is. */
  revive(described: NativeError): CampaignError {
    const details: ErrorDetails = {
      context: Object.fromEntries(Object.entries(described.context).map(([key, value]) => [camel(key), value])),
    }
    if (described.retry_after !== null) details.retryAfterMs = described.retry_after * 1000
    if (described.error !== undefined && this.#kept.has(described.error)) {
      const original = this.#kept.get(described.error)
      if (original instanceof CampaignError && original.kind === described.kind) return original
      details.cause = original
    } else if (described.cause !== undefined) {
      details.cause = new Error(described.cause)
    }
    const Class = CLASSES[described.kind] ?? InternalError
    return new Class(described.text, details)
  }
}
