import { toEngine } from './convert'
import type { Dialer, SimulatedDialer } from './dialer'
import { InvalidError, Originals, type NativeError } from './errors'
import { native } from './native'
import type { Channel, Data } from './types'

/** Settings of a {@link TwilioDialer}; times in seconds. What is left out has the engine's default. */
export interface TwilioSettings {
  /** The account, `AC...`. */
  accountSid: string
  /** Its token. Needed beside an API key as well when there are callbacks, because they are signed with it. */
  authToken?: string | null
  /** An API key, `SK...`, to send requests with instead of the token. */
  apiKeySid?: string | null
  /** The secret of that key. */
  apiKeySecret?: string | null
  /** Shared keys of signed callbacks (HMAC-SHA256), secrets by id. */
  webhookKeys?: Record<string, string>
  /** Caller id and SMS sender of campaigns without caller ids of their own. */
  fromNumber?: string | null
  /** A messaging service, `MG...`; goes before `fromNumber` for SMS. */
  messagingServiceSid?: string | null
  /** The WhatsApp sender, without `whatsapp:`. */
  whatsappFrom?: string | null
  /** Where Twilio reaches the program. Without it there are no callbacks: everything is learned by asking, and nobody can write back. */
  publicBaseUrl?: string | null
  /** The path of callbacks below it. Default `/twilio/`. */
  callbackPath?: string
  /** The assistant's WebSocket. Default: `relay` below the callbacks. */
  relayUrl?: string | null
  /** Where the API is. Default `https://api.twilio.com`, or the host of `edge` and `region`. */
  apiBase?: string | null
  /** The region that processes, for example `ie1`. */
  region?: string | null
  /** The edge through which it is reached, for example `dublin`. */
  edge?: string | null
  /** Starts per second over the account. Default 1; it must not be above what the account has. */
  callsPerSecond?: number
  /** Calls and messages at once. Default: no limit. */
  maxConcurrent?: number | null
  /** How often is looked when there are no callbacks. Default 5. */
  pollInterval?: number
  /** After how long without callbacks is looked all the same. Default 60. */
  callbackPatience?: number
  /** How long a message is watched for its receipt. Default 30. */
  receiptWait?: number
  /** How long after a call its price is asked for, once. Default 1. */
  priceWait?: number
  /** A call that waits longer in Twilio's queue is taken back. Default 30. */
  queueLimit?: number
  /** A message whose window closes sooner waits for the next window. Default 30. */
  minValidity?: number
  /** How long lists may not show a new call. Default 15. */
  lookupLag?: number
  /** Longest request. Default 15. */
  requestTimeout?: number
  /** How texts are spoken. Default `en-US`. */
  language?: string
  /** The voice, for example `Polly.Amy-Neural`. Default: Twilio's. */
  voice?: string | null
}

/** A template that WhatsApp has approved. */
export interface WhatsAppTemplate {
  /** Its name. */
  name: string
  /** Its language, for example `en_US`. */
  language: string
  /** What its placeholders are filled with: `message` or names of variables. Default: `message` alone. */
  parameters?: string[]
}

/** Settings of an {@link ElevenLabsDialer}. What is left out has the engine's default. */
export interface ElevenLabsSettings {
  /** The key of the workspace. */
  apiKey: string
  /** Where the account's data lives. Default `global`. */
  region?: 'global' | 'us' | 'eu' | 'in' | 'sg'
  /** Another address of the API. */
  baseUrl?: string | null
  /** The agent that talks when nothing else names one. */
  agentId?: string | null
  /** The agent for each `assistantId`. */
  agents?: Record<number, string>
  /** The line that is called from when nothing else names one. */
  agentPhoneNumberId?: string | null
  /** The line for each caller id of a campaign. */
  phoneNumbers?: Record<string, string>
  /** Over which line agents call. Default `twilio`. */
  callVia?: 'twilio' | 'sip_trunk' | 'whatsapp'
  /** The WhatsApp sender; without one there is no WhatsApp. */
  whatsapp?: { phoneNumberId: string; permissionTemplate?: WhatsAppTemplate | null; messageTemplate?: WhatsAppTemplate | null } | null
  /** The campaign's `welcome_message` goes before the agent's own. Default true. */
  overrideFirstMessage?: boolean
  /** The campaign's `system_prompt` and `agenda` go before the agent's own. Default true. */
  overridePrompt?: boolean
  /** So does `maxDurationSeconds`. Default false. */
  overrideMaxDuration?: boolean
  /** Twilio records the call. Default false. */
  record?: boolean
  /** Whether Twilio listens for machines as well. Default `off`. */
  machineDetection?: 'off' | 'enable' | 'detect_message_end'
  /** The secret of the webhook; without one every callback is refused. */
  webhookSecrets?: string[]
  /** How the path of callbacks ends. Default `/elevenlabs`. */
  callbackPath?: string
  /** Seconds between two looks at a running call. Default 5; 30 with callbacks. */
  pollSeconds?: number | null
  /** After how many seconds a conversation is certainly listed. Default 30. */
  lookupLagSeconds?: number
  /** The longest time of one request. Default 15. */
  requestTimeoutSeconds?: number
  /** The name of the account that limits belong to. Default `elevenlabs`. */
  account?: string
  /** Calls per second of the account. Default none. */
  callsPerSecond?: number | null
  /** Calls at once that the plan allows. Default none. */
  maxConcurrent?: number | null
  /** What a credit costs in the campaign's currency. */
  creditPrice?: number | null
}

/** Settings of a {@link WebhookDialer}. What is left out has the engine's default. */
export interface WebhookSettings {
  /** Where attempts are handed over. */
  url: string
  /** Signs requests and checks callbacks: `whsec_` and base64 of at least 16 bytes. */
  secret: string
  /** Secrets that are being replaced. */
  oldSecrets?: string[]
  /** Where the service is asked what became of an attempt. */
  statusUrl?: string | null
  /** Where the service is asked to hang up. */
  cancelUrl?: string | null
  /** The public address of the callbacks; the service is told it with each attempt. */
  callbackUrl?: string | null
  /** How the path of callbacks ends. Default `/webhook-dialer`. */
  callbackPath?: string
  /** More headers of requests, for example `authorization`. */
  headers?: Record<string, string>
  /** The channels that the service serves. Default: all. */
  channels?: readonly Channel[]
  /** `native` when the service ignores a key that it has seen. Default `callback_ref`. */
  idempotency?: 'native' | 'callback_ref'
  /** For `native`: how long it remembers a key. Default 86400. */
  keyTtlSeconds?: number
  /** After how many seconds `statusUrl` certainly knows an attempt. Default 5. */
  lookupLagSeconds?: number
  /** The longest time of one request. Default 15. */
  requestTimeoutSeconds?: number
  /** How often a running attempt is asked for at `statusUrl`. Default 10. */
  pollSeconds?: number
  /** The name of the account that limits belong to. */
  account?: string | null
  /** Starts per second. Default none. */
  callsPerSecond?: number | null
  /** Attempts at once. Default none. */
  maxConcurrent?: number | null
  /** Whether the service tells machines from people. Default false. */
  machineDetection?: boolean
  /** The addresses come from users: only HTTPS to public addresses. Default false. */
  publicOnly?: boolean
}

type Description = Record<string, unknown>

// Settings hold secrets: they are nowhere on the object, so nothing that prints objects finds them.
const descriptions = new WeakMap<object, Description>()

function configure(object: object, what: 'dialer' | 'assistant', kind: string, settings: unknown): void {
  if (typeof settings !== 'object' || settings === null) {
    throw new InvalidError(`the settings of a ${object.constructor.name} must be an object`, { context: { field: 'settings' } })
  }
  const description = { [kind]: toEngine(settings) }
  check(what, description)
  descriptions.set(object, description)
}

function check(what: 'dialer' | 'assistant', description: Description): void {
  const { error } = JSON.parse(native.check(what, JSON.stringify(description))) as { error?: NativeError }
  if (error !== undefined) throw new Originals().revive(error)
}

/**
 * Places calls and sends SMS and WhatsApp messages with an account at Twilio. Settings are read here, and a wrong one is named; they are never
 * shown again. `docs/providers.md` explains each.
 */
export class TwilioDialer {
  /** For an account. */
  constructor(settings: TwilioSettings) { configure(this, 'dialer', 'twilio', settings) }
  declare protected readonly twilio: never
}

/** Calls and writes with agents of ElevenLabs. */
export class ElevenLabsDialer {
  /** For a workspace. */
  constructor(settings: ElevenLabsSettings) { configure(this, 'dialer', 'elevenlabs', settings) }
  declare protected readonly elevenLabs: never
}

/** Hands attempts to any service that takes a signed JSON request and reports back; `docs/webhook-dialer.md` has the protocol. */
export class WebhookDialer {
  /** For a service. */
  constructor(settings: WebhookSettings) { configure(this, 'dialer', 'webhook', settings) }
  declare protected readonly webhook: never
}

/** Settings of an {@link OpenAiAssistant}. What is left out has the engine's default. */
export interface OpenAiSettings {
  /** The model. */
  model: string
  /** The key, if the service wants one. */
  apiKey?: string | null
  /** What stands before `/chat/completions`. Default `https://api.openai.com/v1`. */
  baseUrl?: string
  /** More fields of the request, for example `temperature`. */
  extra?: Data
  /** Seconds for a whole answer. Default 60. */
  timeout?: number
}

/** An assistant behind any service that speaks OpenAI's chat completions. The key is never shown again. */
export class OpenAiAssistant {
  /** For a service and a model. */
  constructor(settings: OpenAiSettings) { configure(this, 'assistant', 'openai', settings) }
  declare protected readonly openAi: never
}

/** What is said: a text, something to be done, a failure, or several of them. */
export type Says = Line | Line[]
/** One part of it. */
export type Line = string | { tool: string; arguments?: Data } | { fails: string }

/** What a {@link ScriptedAssistant} says. The first of these that has an answer gives it. */
export interface Script {
  /** Answers to what a person says, in any case. */
  rules?: { contains: string; says: Says }[]
  /** Answers, one after the other. */
  answers?: Says[]
  /** The answer to everything else. Default: nothing is said. */
  otherwise?: Says
}

/** An assistant for tests, which says what it is told. */
export class ScriptedAssistant {
  /** With this script. */
  constructor(script: Script = {}) { configure(this, 'assistant', 'scripted', script) }
  declare protected readonly scripted: never
}

/** @internal The description of a dialer or an assistant by configuration. */
export function described(object: unknown): Description | undefined {
  return typeof object === 'object' && object !== null ? descriptions.get(object) : undefined
}

/** A dialer: an object of yours, or one by configuration. */
export type AnyDialer = Dialer | SimulatedDialer | TwilioDialer | ElevenLabsDialer | WebhookDialer | RoutedDialer

/** One route of a {@link RoutedDialer}. */
export interface Route {
  /** The channel, or several. */
  channels: Channel | readonly Channel[]
  /** Who serves them. */
  dialer: AnyDialer
}

/**
 * Gives each channel a dialer: calls by one provider, messages by another, or by a dialer of your own. The name of a route is written into
 * outcomes, and late callbacks find their dialer by it, so it must stay the same. What the whole can do is what all of them can.
 */
export class RoutedDialer {
  readonly #routes: [string, readonly Channel[], unknown][]

  /** With a dialer for each name. */
  constructor(routes: Record<string, Route>) {
    this.#routes = Object.entries(routes).map(([name, { channels, dialer }]) => [name, typeof channels === 'string' ? [channels] : channels, dialer])
    check('dialer', this.#known())
  }

  /** @internal What the native half makes it from. */
  async describe(one: (dialer: unknown) => Promise<Description>): Promise<Description> {
    const routes = this.#routes.map(async ([name, channels, dialer]) => ({ name, channels, dialer: await one(dialer) }))
    return { routed: await Promise.all(routes) }
  }

  // What is known before there is an engine; a dialer that says what it can do later may do anything.
  #known(): Description {
    const known = (dialer: unknown): Description => {
      if (dialer instanceof RoutedDialer) return dialer.#known()
      const own = (dialer as Dialer | null | undefined)?.capabilities
      return described(dialer) ?? { capabilities: typeof own === 'object' ? toEngine(own) : {} }
    }
    return { routed: this.#routes.map(([name, channels, dialer]) => ({ name, channels, dialer: known(dialer) })) }
  }
}
