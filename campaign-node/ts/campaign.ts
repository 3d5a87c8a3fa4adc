import { requireMethods, type Bridge, type Target } from './bridge'
import { fromEngine, toEngine } from './convert'
import { InvalidError } from './errors'
import type { Awaitable } from './dialer'
import type { CampaignSpec, Channel, Contact, ContactStatus, Execution } from './types'

/** What a campaign sees of a contact when it decides. */
export interface ContactView {
  /** The contact with its state. */
  contact: Contact
  /** Its settled attempts of this run, oldest first. */
  history: Execution[]
  /** The campaign's zone. */
  timeZone: string | null
  /** Seed for jitter, as a text of 64 bits; equal for equal contacts and attempts. */
  seed: string
}

/** What to do next with a contact. `reason` is a code, `text` a sentence without personal data. */
export type Next =
  | { next: 'reach'; step: number; channel: Channel }
  | { next: 'wait'; until: Date; step: number; channel: Channel; reason: string; text: string }
  | { next: 'finish'; status: ContactStatus; reason: string; text: string }

/** A text with holes. Pure: the same variables give the same text; no I/O, no clock. */
export interface Template {
  /** Names of the variables it uses, as slugs (`first_name`). */
  readonly variables: readonly string[]
  /** Fills the holes. Every variable it named has its value, or its fallback. What it throws ends the attempt. */
  render(values: Record<string, string>): Awaitable<string>
}

/**
 * The policy of a kind of campaign: given a contact and its attempts so far, what comes next. Pure: no I/O, no clock, the same answer for the
 * same arguments. Gates (windows, limits, suppression, budget) are not its business: they hold whatever it says.
 */
export interface Campaign {
  /** Decides. */
  next(view: ContactView, now: Date): Awaitable<Next>
  /** The template of a message step. Default `sms_message`. */
  messageTemplate?(step: { step: number; channel: Channel }): Awaitable<string>
  /** Templates of its own, by name, in place of or beside those of the campaign. */
  templates?: Record<string, Template>
}

/** A policy for every campaign of a kind, or a function that makes one from a campaign's spec. */
export type CampaignKind = Campaign | ((spec: CampaignSpec) => Awaitable<Campaign>)

class CampaignTarget implements Target {
  readonly #campaign: Campaign

  constructor(campaign: Campaign) {
    this.#campaign = campaign
  }

  async ask(method: string, args: unknown): Promise<unknown> {
    if (method === 'next') {
      const { now, ...view } = fromEngine(args) as ContactView & { now: Date }
      return toEngine(await this.#campaign.next(view, now))
    }
    return this.#campaign.messageTemplate?.(args as { step: number; channel: Channel }) ?? 'sms_message'
  }
}

class KindTarget implements Target {
  readonly #bridge: Bridge
  readonly #kind: CampaignKind

  constructor(bridge: Bridge, kind: CampaignKind) {
    this.#bridge = bridge
    this.#kind = kind
  }

  async ask(_method: string, spec: unknown): Promise<unknown> {
    const made = typeof this.#kind === 'function' ? await this.#kind(fromEngine(spec) as CampaignSpec) : this.#kind
    requireMethods('campaign', made, ['next'])
    const campaign = made as unknown as Campaign
    const templates = Object.entries(campaign.templates ?? {}).map(([name, template]) => {
      const what = `campaign.templates.${name}`
      requireMethods(what, template, ['render'])
      if (!Array.isArray(template.variables)) throw new InvalidError(`${what} lacks the array \`variables\``, { context: { field: what } })
      return [name, [this.#bridge.add({ ask: (_method, values) => template.render(values as Record<string, string>) }), template.variables]]
    })
    return { campaign: this.#bridge.add(new CampaignTarget(campaign)), templates: Object.fromEntries(templates) }
  }
}

/** Gives every kind a number that the native half can call it by. */
export function describeKinds(bridge: Bridge, kinds: Record<string, CampaignKind>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => {
      if (name.trim() === '') throw new InvalidError('a kind of campaign needs a name', { context: { field: 'campaigns' } })
      if (typeof kind !== 'function') requireMethods(`campaigns.${name}`, kind, ['next'])
      return [name, bridge.add(new KindTarget(bridge, kind))]
    }),
  )
}
