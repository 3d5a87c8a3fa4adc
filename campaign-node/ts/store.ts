// Stores written in JavaScript. Their records are those the engine keeps: nested, exact, with moments as whole microseconds since 1970,
// because a `Date` would lose what pacing needs.

import { camel, fromEngine, toEngine, type JsonValue } from './convert'
import { Bridge, requireMethods, type Target } from './bridge'
import { Originals, type NativeError } from './errors'
import { native, type NativeSlots } from './native'
import type { Awaitable, Outcome } from './dialer'
import type { AttemptState, CampaignStatus, Channel, Consent, ContactStatus, Data, Disposition, Page } from './types'

/** A moment: whole microseconds since 1970. */
export type Moment = number
/** Whom a contact belongs to. */
export type StoredOwner = { campaign: number } | { list: number }
/** Why something is as it is. */
export interface Reason {
  /** A stable code. */
  code: string
  /** One sentence, without personal data. */
  text: string
}
/** A planned step. */
export interface PlannedStep {
  /** From 0. */
  step: number
  /** The channel. */
  channel: Channel
}
/** A campaign's spec in the engine's form; the engine has checked it, a store keeps it as it is. */
export interface StoredSpec {
  /** Its name. */
  name: string
  /** Free text. */
  description: string | null
  /** The kind. */
  campaignType: string
  /** The organisation it belongs to; never changes. */
  organization: number | null
  /** The assistant. */
  assistantId: number | null
  /** Everything else. */
  [field: string]: unknown
}
/** A campaign as it is stored. */
export interface StoredCampaign {
  /** Its id. */
  id: number
  /** What it is made from. */
  spec: StoredSpec
  /** Grows with every edit. */
  specVersion: number
  /** Grows with every change. */
  revision: number
  /** Where it stands. */
  status: CampaignStatus
  /** Why. */
  reason: Reason | null
  /** Which run is on. */
  run: { number: number; nextStart: Moment | null; resetting: boolean }
  /** Budget percentage announced so far. */
  budgetAnnouncedPercent: number
  /** Name of the last file. */
  lastImportFileName: string | null
  /** When it was imported. */
  lastImportDate: Moment | null
  /** Its rows. */
  lastImportRowCount: number | null
  /** When it was created. */
  createdAt: Moment
  /** When it was last changed. */
  updatedAt: Moment
  /** When the run started. */
  startedAt: Moment | null
  /** When it ended. */
  completedAt: Moment | null
}
/** A contact as it is added. */
export interface NewContact {
  /** In E.164. */
  phone: string
  /** Full name. */
  name: string | null
  /** Email address. */
  email: string | null
  /** Company. */
  company: string | null
  /** IANA names joined by `|`; empty: not known. */
  zones: string
  /** Every other column. */
  variables: Data
  /** Consent, when known. */
  consent: (Omit<Consent, 'givenAt'> & { givenAt: Moment }) | null
  /** How it came in. */
  source: string
}
/** A contact as it is stored. */
export interface StoredContact extends NewContact {
  /** Its id. */
  id: number
  /** Whose. */
  owner: StoredOwner
  /** Where it stands. */
  status: ContactStatus
  /** Why. */
  reason: Reason | null
  /** The run it was last part of. */
  run: number
  /** Attempts consumed in it. */
  attempts: number
  /** Not to be claimed before. */
  dueAt: Moment
  /** What comes next. */
  step: PlannedStep | null
  /** How the last attempt ended. */
  lastDisposition: Disposition | null
  /** When it was handed over. */
  lastAttemptAt: Moment | null
  /** When the person answered back. */
  repliedAt: Moment | null
  /** When it became terminal. */
  completedAt: Moment | null
  /** Calls answered. */
  answeredCalls: number
  /** Calls handed over. */
  callAttempts: number
  /** Seconds talked. */
  durationSeconds: number
  /** What it cost. */
  cost: number
  /** Grows with every change. */
  version: number
  /** When it was added. */
  createdAt: Moment
}
/** The right of a node to settle. */
export interface NodeToken {
  /** The node. */
  node: number
  /** The fencing token. */
  epoch: number
}
/** An attempt as it is stored. */
export interface StoredAttempt {
  /** Its id. */
  id: number
  /** The idempotency key. */
  key: string
  /** The campaign. */
  campaign: number
  /** The contact. */
  contact: number
  /** The run. */
  run: number
  /** Which attempt it is, from 1. */
  number: number
  /** The step. */
  step: PlannedStep
  /** The caller id. */
  from: string | null
  /** The version of the spec. */
  specVersion: number
  /** Where it stands. */
  state: AttemptState
  /** Who holds it. */
  claimedBy: NodeToken
  /** When the intent was written. */
  claimedAt: Moment
  /** Its slot. */
  startAt: Moment
  /** Not to be handed over later. */
  notAfter: Moment
  /** Money reserved. */
  reserved: number
  /** The provider's reference. */
  providerRef: string | null
  /** When it was handed over. */
  startedAt: Moment | null
  /** When it was settled. */
  finishedAt: Moment | null
  /** How it ended. */
  outcome: Required<Outcome> | null
  /** Why what follows follows. */
  reason: Reason | null
}
/** Which part of a listing. */
export interface StoredPaging {
  /** How many to leave out. */
  offset: number
  /** How many at most. */
  limit: number
}
/** What a suppression covers. */
export type SuppressionScope = 'everything' | { organization: number } | { campaign: number }
/** A suppression as it is stored. */
export interface StoredSuppression {
  /** In E.164. */
  phone: string
  /** What it covers. */
  scope: SuppressionScope
  /** Why. */
  reason: string
  /** Where from. */
  source: string | null
  /** When it was added. */
  createdAt: Moment
  /** When it ends. */
  expiresAt: Moment | null
}
/** Names a suppression. */
export interface SuppressionKey {
  /** The number. */
  phone: string
  /** Its scope. */
  scope: SuppressionScope
}
/** What a limit is about. */
export type LimitScope = 'deployment' | { account: string } | { campaign: number } | { caller: string }
/** What is used of a limit. */
export interface Ledger {
  /** Attempts claimed and not settled. */
  inFlight: number
  /** No start before. */
  nextSlot: Moment | null
  /** The day of `dayStarts`. */
  day: string | null
  /** Starts on it. */
  dayStarts: number
  /** Money spent. */
  spent: number
  /** Money reserved. */
  reserved: number
}
/** Rules of one scope; a store passes them on to {@link Slots}. */
export interface LimitRules {
  /** Whose. */
  scope: LimitScope
  /** The rest is the engine's. */
  [rule: string]: unknown
}
/** Limits of one claim. */
export interface ClaimLimits {
  /** All of them hold. */
  shared: LimitRules[]
  /** One of them holds. */
  callers: LimitRules[]
  /** No slot later than this. */
  horizon: Moment
}
/** The gates a store asks in a claim; see {@link decide}. */
export interface ClaimGates {
  /** Caps. */
  frequencyCaps: { max: number; hours: number; channels: Channel[] }[]
  /** Consent. */
  consentRequired: boolean
  /** The channel of contacts without a planned step. */
  firstChannel: Channel | null
}
/** What a gate says. */
export type Verdict =
  | { verdict: 'allow' }
  | { verdict: 'not_before'; until: Moment | null; reason: Reason }
  | { verdict: 'never'; reason: Reason }
/** What a store knows about a person. */
export interface ContactFacts {
  /** The reason of the suppression in force. */
  suppressed: string | null
  /** Hand-offs to the number, newest first. */
  recent: [Moment, Channel][]
}
/** Which limit was met. */
export interface LimitBlock {
  /** Whose. */
  scope: LimitScope
  /** Which. */
  limit: string
  /** When it opens. */
  opensAt: Moment | null
}
/** One start. */
export interface Slot {
  /** When. */
  startAt: Moment
  /** From which caller id. */
  caller: string | null
  /** Money reserved. */
  reserved: number
  /** The day it counts on. */
  day: string | null
}
/** What to claim. */
export interface ClaimRequest {
  /** Repeating it returns the first answer. */
  requestId: string
  /** Who claims. */
  token: NodeToken
  /** Of which campaign. */
  campaign: number
  /** Its revision. */
  expectedRevision: number
  /** At most so many. */
  max: number
  /** Groups whose window is open, in order. */
  zones: string[]
  /** Decide on each candidate. */
  gates: ClaimGates
  /** Limits to reserve. */
  limits: ClaimLimits
  /** The provider account. */
  account: string | null
  /** The step of contacts without one. */
  firstStep: PlannedStep
  /** Recorded with each attempt. */
  specVersion: number
  /** Seconds after its slot for which it may be handed over. */
  grace: number
  /** The engine's clock. */
  now: Moment
}
/** A claimed contact. */
export interface Claimed {
  /** The intent. */
  attempt: StoredAttempt
  /** The contact, in progress. */
  contact: StoredContact
  /** Settled attempts of this run, oldest first. */
  history: StoredAttempt[]
}
/** What was claimed. */
export interface Claims {
  /** The contacts. */
  claimed: Claimed[]
  /** The campaign does not run or was changed. */
  campaignChanged: boolean
  /** The limit that ended the claim. */
  block: LimitBlock | null
  /** Candidates that gates deferred or ruled out. */
  passedOver: number
  /** Whether more may be left. */
  more: boolean
  /** The store's clock. */
  now: Moment
}
/** How an attempt ended. */
export type AttemptEnd = { finished: Required<Outcome> } | 'refused' | 'unused'
/** One attempt to be settled. */
export interface Settlement {
  /** Which. */
  attempt: number
  /** When it was handed over. */
  startedAt: Moment | null
  /** How it ended. */
  end: AttemptEnd
  /** What the contact becomes. */
  transition: { from: ContactStatus; to: ContactStatus }
  /** Why. */
  reason: Reason | null
  /** When it is due again. */
  dueAt: Moment | null
  /** What follows. */
  step: PlannedStep | null
}
/** What a bulk change does. */
export type BulkAction = { reset: { run: number } } | { cancel: { reason: Reason } } | { skip: { reason: Reason } } | 'remove_untouched'
/** Which contacts it touches. */
export type Selection = 'all' | { statuses: ContactStatus[] } | { ids: number[] }
/** Counters of a campaign. */
export interface Counts {
  /** Contacts per status. */
  byStatus: Partial<Record<ContactStatus, number>>
  /** Calls handed over. */
  callAttempts: number
  /** Calls answered. */
  answeredCalls: number
  /** Seconds talked. */
  durationSeconds: number
  /** Money spent. */
  cost: number
}
/** What became of a contact that was added. */
export type Added = { new: number } | { suppressed: number } | { duplicate: number } | { updated: number }
/** A place in the stream of events; the store uses the numbers as it likes. */
export interface EventCursor {
  /** Of claims. */
  claimed: number
  /** Of settlements. */
  settled: number
  /** Of campaign changes. */
  saved: number
}
/** An event as it is stored. */
export type StoredEvent = { campaignId: number; at: Moment; type: string } & Record<string, unknown>
/** A document. */
export interface StoredDocument {
  /** Its key. */
  key: string
  /** Its content. */
  value: JsonValue
  /** Grows with every change. */
  revision: number
}
/** Everything of a store, or a part of it. */
export interface Snapshot {
  /** Campaigns. */
  campaigns: StoredCampaign[]
  /** Contacts. */
  contacts: StoredContact[]
  /** Attempts. */
  attempts: StoredAttempt[]
  /** Suppressions. */
  suppressions: StoredSuppression[]
  /** Documents with their collection. */
  documents: [string, StoredDocument][]
  /** Sequences with the last number. */
  sequences: [string, number][]
  /** Ledgers. */
  ledgers: [LimitScope, Ledger][]
}

/**
 * Durable storage of campaigns, contacts and attempts. An object with all of these methods is one; they may return promises or values.
 * Every method is one transaction, and every write can be repeated; `docs/write-a-store.md` says what each must do, and
 * `campaign-node/testing` proves it. What only the engine may decide, a store asks {@link decide} and {@link Slots} for.
 */
export interface ContactStore {
  /** Stores a new campaign: status `draft`, run 1, revision 1, spec version 1. Repeating a `requestId` returns the first. */
  createCampaign(create: { requestId: string; spec: StoredSpec; now: Moment }): Awaitable<StoredCampaign>
  /** One campaign. */
  campaign(id: number): Awaitable<StoredCampaign | null>
  /** Campaigns, newest first. */
  campaigns(query: {
    statuses: CampaignStatus[]; campaignType: string | null; organization: number | null; assistantId: number | null; search: string | null
    paging: StoredPaging; count: boolean
  }): Awaitable<Page<StoredCampaign>>
  /** Replaces the record if its revision is as expected and the guard holds. */
  saveCampaign(save: {
    record: StoredCampaign; expectedRevision: number; guard: 'no_open_contacts' | 'some_pending_contacts' | null; now: Moment
  }): Awaitable<StoredCampaign>
  /** Deletes a campaign with its contacts and attempts. */
  deleteCampaign(id: number): Awaitable<void>
  /** Adds contacts; a number is unique per owner. `organization` is that of a list; a campaign's is in its spec. */
  addContacts(add: {
    requestId: string; owner: StoredOwner; organization: number | null; contacts: NewContact[]; duplicates: 'skip' | 'update_variables'
    now: Moment
  }): Awaitable<Added[]>
  /** One contact. */
  contact(id: number): Awaitable<StoredContact | null>
  /** Contacts of an owner, by ascending id. */
  contacts(query: {
    owner: StoredOwner; statuses: ContactStatus[]; search: string | null; after: number | null; paging: StoredPaging; count: boolean
  }): Awaitable<Page<StoredContact>>
  /** Changes one contact if its version is as expected. */
  updateContact(update: {
    id: number; expectedVersion: number; transition: { from: ContactStatus; to: ContactStatus } | null; reason: Reason | null
    dueAt: Moment | null; step: PlannedStep | null; repliedAt: Moment | null; now: Moment
  }): Awaitable<StoredContact>
  /** Removes contacts that are not in progress; returns how many. */
  removeContacts(owner: StoredOwner, ids: number[]): Awaitable<number>
  /** Changes up to `limit` contacts; returns how many. */
  bulkChange(change: { campaign: number; selection: Selection; action: BulkAction; limit: number; now: Moment }): Awaitable<number>
  /** Adds or replaces suppressions. */
  suppress(entries: StoredSuppression[]): Awaitable<void>
  /** Removes suppressions; returns how many. */
  unsuppress(keys: SuppressionKey[]): Awaitable<number>
  /** Suppressions by number, ascending; within a number organisations from the highest id down, everything, campaigns. */
  suppressions(query: {
    phone: string | null; scope: SuppressionScope | null; after: SuppressionKey | null; paging: StoredPaging
  }): Awaitable<Page<StoredSuppression>>
  /** Registers a process and gives it a lease (seconds) and a fencing token. */
  registerNode(node: { name: string; lease: number; now: Moment }): Awaitable<{ token: NodeToken; storeId: string; expiresAt: Moment; now: Moment }>
  /** Renews the lease. */
  renewNode(renew: { token: NodeToken; lease: number; now: Moment }): Awaitable<void>
  /** Ends the lease. */
  retireNode(token: NodeToken): Awaitable<void>
  /** Registered nodes whose lease has not run out. */
  nodes(now: Moment): Awaitable<{ id: number; name: string; startedAt: Moment; expiresAt: Moment; inFlight: number }[]>
  /** Claims due contacts of one campaign. */
  claim(request: ClaimRequest): Awaitable<Claims>
  /** Makes providers' references durable. */
  placed(placed: { attempt: number; token: NodeToken; providerRef: string; at: Moment }[]): Awaitable<void>
  /** Ends attempts. */
  settle(request: { token: NodeToken; settlements: Settlement[]; now: Moment }): Awaitable<{
    acks: ('settled' | 'stale')[]; campaigns: { campaign: number; open: number; spent: number }[]
  }>
  /** Replaces the outcome of a settled attempt. */
  amend(attempt: number, outcome: Required<Outcome>): Awaitable<StoredAttempt>
  /** Takes over open attempts of dead nodes; `quarantine` in seconds. A repeated `requestId` names what of the first answer is still held. */
  takeOver(request: { requestId: string; token: NodeToken; quarantine: number; limit: number; now: Moment }): Awaitable<Claimed[]>
  /** Counters of a campaign. */
  counts(campaign: number): Awaitable<Counts>
  /** Attempts, newest first. */
  attempts(query: {
    campaign: number | null; contact: number | null; run: number | null; id: number | null; providerRef: string | null
    dispositions: Disposition[]; openOnly: boolean; before: number | null; paging: StoredPaging; count: boolean
  }): Awaitable<Page<StoredAttempt>>
  /** Pending contacts grouped by zone, with the earliest due time of each group. */
  pendingZones(campaign: number): Awaitable<{ zones: string; firstDue: Moment }[]>
  /** Contacts counted by status, zone, reason and whether they are due. */
  reasons(campaign: number, now: Moment): Awaitable<{
    status: ContactStatus; zones: string; code: string | null; due: boolean; firstDue: Moment | null; count: number
  }[]>
  /** What is known about the person behind a contact. */
  facts(contact: number, since: Moment | null, now: Moment): Awaitable<ContactFacts>
  /** Ledgers of these scopes, in that order. */
  ledgers(scopes: LimitScope[]): Awaitable<Ledger[]>
  /** Settled attempts per bucket of time. */
  timeline(query: { campaign: number; from: Moment; to: Moment; bucketSeconds: number }): Awaitable<{
    start: Moment; dispositions: Partial<Record<Disposition, number>>; durationSeconds: number; cost: number
  }[]>
  /** A counter that grows whenever somebody changed what a gate depends on. */
  changes(): Awaitable<number>
  /** What happened since the cursor. */
  events(query: { after: EventCursor | null; campaign: number | null; limit: number }): Awaitable<{
    events: StoredEvent[]; next: EventCursor; more: boolean
  }>
  /** Stores a document if its revision is as expected; returns the new one. */
  putDocument(put: { collection: string; key: string; value: JsonValue; expectedRevision: number | null }): Awaitable<number>
  /** Documents of a collection by key. */
  documents(query: { collection: string; key: string | null; after: string | null; limit: number }): Awaitable<StoredDocument[]>
  /** Deletes a document; whether it was there. */
  deleteDocument(collection: string, key: string): Awaitable<boolean>
  /** The next number of a sequence, from 1. */
  nextNumber(sequence: string): Awaitable<number>
  /** What there is besides campaigns, contacts, attempts and suppressions. */
  catalog(): Awaitable<{ collections: string[]; sequences: [string, number][]; scopes: LimitScope[] }>
  /** Writes records as they are. */
  restore(snapshot: Snapshot): Awaitable<void>
  /** Lets go of files and connections; calls after it fail with `ClosedError`. */
  close(): Awaitable<void>
}

const METHODS = [
  'createCampaign', 'campaign', 'campaigns', 'saveCampaign', 'deleteCampaign', 'addContacts', 'contact', 'contacts', 'updateContact',
  'removeContacts', 'bulkChange', 'suppress', 'unsuppress', 'suppressions', 'registerNode', 'renewNode', 'retireNode', 'nodes', 'claim',
  'placed', 'settle', 'amend', 'takeOver', 'counts', 'attempts', 'pendingZones', 'reasons', 'facts', 'ledgers', 'timeline', 'changes',
  'events', 'putDocument', 'documents', 'deleteDocument', 'nextNumber', 'catalog', 'restore', 'close',
] as const satisfies readonly (keyof ContactStore)[]

// Arguments that are moments and have no name on their way.
const MOMENTS: Record<string, readonly number[]> = { nodes: [0], reasons: [1], facts: [1, 2] }

class StoreTarget implements Target {
  readonly #store: Record<string, (...args: unknown[]) => unknown>

  constructor(store: Record<string, (...args: unknown[]) => unknown>) {
    this.#store = store
  }

  async ask(method: string, args: unknown): Promise<unknown> {
    const given = (args as unknown[]).map((arg, index) => fromEngine(arg, 'micros', MOMENTS[method]?.includes(index) ? 'now' : ''))
    return toEngine(await this.#store[camel(method)]?.(...given), 'micros')
  }
}

/** @internal Gives a store a number that the native half can call it by. */
export function describeStore(bridge: Bridge, store: ContactStore): number {
  requireMethods('store', store, METHODS)
  return bridge.add(new StoreTarget(store as unknown as Record<string, (...args: unknown[]) => unknown>))
}

/** How much {@link copyStore} copied. */
export interface Copied {
  /** Campaigns. */
  campaigns: number
  /** Contacts of campaigns and contact lists. */
  contacts: number
  /** Attempts, open ones too. */
  attempts: number
  /** Suppressions. */
  suppressions: number
  /** Documents, contact lists among them. */
  documents: number
}

/**
 * Copies everything from one store to another, ids included: to move to another database, or for a backup. What `to` holds under the same ids is
 * replaced. Limits and ids go on where they were. Nothing else may write to either store meanwhile; a copy that was interrupted can be begun anew.
 * A store is a URL, as for {@link Engine.open}, or an object of yours.
 */
export async function copyStore(from: string | ContactStore, to: string | ContactStore): Promise<Copied> {
  const bridge = new Bridge()
  try {
    const store = (given: string | ContactStore): string | number => (typeof given === 'string' ? given : describeStore(bridge, given))
    return (await bridge.call('copy_store', { from: store(from), to: store(to) })) as Copied
  } finally {
    bridge.end()
  }
}

function answered(written: string): unknown {
  const { answer, error } = JSON.parse(written) as { answer?: unknown; error?: NativeError }
  if (error !== undefined) throw new Originals().revive(error)
  return fromEngine(answer, 'micros')
}

function ask(name: string, args: Record<string, unknown>): unknown {
  return answered(native.decide(name, JSON.stringify(toEngine(args, 'micros'))))
}

/** The decisions that are the engine's, for stores: pure functions, the same as in every other store. */
export const decide = {
  /** Suppression, consent and frequency caps for one candidate of a claim. */
  gates(gates: ClaimGates, contact: StoredContact, facts: ContactFacts, now: Moment): Verdict {
    return ask('decide', { gates, contact, facts, now }) as Verdict
  },
  /** Whether a number may be contacted at all. */
  suppression(facts: ContactFacts): Verdict {
    return ask('suppression', { ...facts }) as Verdict
  },
  /** Seconds that `facts` must reach back for these gates; null: not at all. */
  lookBack(gates: ClaimGates): number | null {
    return ask('look_back', { ...gates }) as number | null
  },
  /** The status that an event leads to; throws a `StateError` when the table has no such change. */
  transition(from: ContactStatus, event: 'claim' | 'requeue' | 'cancel' | 'reset' | { finish: ContactStatus }): ContactStatus {
    return ask('transition', { from, event }) as ContactStatus
  },
  /** A ledger after an attempt gave back what it had reserved. */
  settleLedger(ledger: Ledger, reserved: number, claimedDay: string | null, release: 'unused' | { used: number }): Ledger {
    return ask('settle_ledger', { ledger, reserved, claimedDay, release }) as Ledger
  },
  /** The events of replacing one record by another. */
  announce(before: StoredCampaign, after: StoredCampaign, spent: number): ({ type: string } & Record<string, unknown>)[] {
    return ask('announce', { before, after, spent }) as ({ type: string } & Record<string, unknown>)[]
  },
  /** Calls handed over and calls answered, as the counters see one attempt. */
  callCounts(channel: Channel, disposition: Disposition): [number, number] {
    return ask('call_counts', { channel, disposition }) as [number, number]
  },
  /** Whether a disposition reached the person. */
  isSuccess(channel: Channel, disposition: Disposition): boolean {
    return ask('is_success', { channel, disposition }) as boolean
  },
} as const

/** Hands out slots within the limits of one claim. */
export class Slots {
  readonly #slots: NativeSlots

  /** From the limits of a claim, the ledgers of its scopes (shared ones first) and the moment of the claim. */
  constructor(limits: ClaimLimits, ledgers: Ledger[], now: Moment) {
    const write = (value: unknown, field = ''): string => JSON.stringify(toEngine(value, 'micros', field))
    this.#slots = new native.Slots(write(limits), write(ledgers), write(now, 'now'))
  }

  /** The next slot that is not before `dueAt`; null when a limit is met, see {@link Slots.block}. */
  take(dueAt: Moment): Slot | null {
    return answered(this.#slots.take(JSON.stringify(toEngine(dueAt, 'micros', 'due_at')))) as Slot | null
  }

  /** The limit that was met, when one was. */
  get block(): LimitBlock | null {
    return this.#state.block
  }

  /** The ledgers as they are now, to be written back. */
  get ledgers(): Ledger[] {
    return this.#state.ledgers
  }

  get #state(): { block: LimitBlock | null; ledgers: Ledger[] } {
    return answered(this.#slots.state()) as { block: LimitBlock | null; ledgers: Ledger[] }
  }
}
