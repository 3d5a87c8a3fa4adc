// A whole store in one class, for the conformance suite. Records are never changed in place: what was handed out stays as it was.

import { randomUUID } from 'node:crypto'
import { ClosedError, ConflictError, decide, NotFoundError, Slots, StaleError, StateError } from 'campaign-node'
import type {
  Added, BulkAction, Claimed, ClaimRequest, Claims, ContactFacts, ContactStatus, ContactStore, Counts, Ledger, LimitScope, Moment, NewContact,
  NodeToken, Page, Settlement, Slot, Snapshot, StoredAttempt, StoredCampaign, StoredContact, StoredDocument, StoredEvent, StoredOwner,
  StoredPaging, StoredSuppression, SuppressionScope,
} from 'campaign-node'

type In<Method extends keyof ContactStore> = Parameters<ContactStore[Method]>
type Try = { attempt: StoredAttempt; account: string | null; day: string | null }
type Node = { token: NodeToken; name: string; startedAt: Moment; expiresAt: Moment }
type Outcome = NonNullable<StoredAttempt['outcome']>

const SECOND = 1_000_000
const EMPTY: Ledger = { inFlight: 0, nextSlot: null, day: null, dayStarts: 0, spent: 0, reserved: 0 }

const key = (value: unknown): string => JSON.stringify(value)
const terminal = (status: ContactStatus): boolean => status !== 'pending' && status !== 'in_progress'
const open = (attempt: StoredAttempt): boolean => attempt.state === 'claimed' || attempt.state === 'placed'
const costOf = (attempt: StoredAttempt, outcome: Outcome): number => outcome.cost ?? attempt.reserved
const handedOverAt = (attempt: StoredAttempt): Moment => attempt.startedAt ?? attempt.startAt
const ascending = <T>(by: (item: T) => number | string) => (a: T, b: T): number => (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0)

function found(search: string | null, ...texts: (string | null)[]): boolean {
  return search === null || texts.some((text) => text?.toLowerCase().includes(search.toLowerCase()) ?? false)
}

function page<T>(items: T[], { offset, limit }: StoredPaging, count = true): Page<T> {
  return { items: items.slice(offset, offset + Math.min(limit, 10_000)), total: count ? items.length : 0 }
}

/** Texts that sort by number; within a number organisations from the highest id down, everything, campaigns. */
function suppressionOrder({ phone, scope }: { phone: string; scope: SuppressionScope }): string {
  const place = scope === 'everything' ? 0 : 'organization' in scope ? -scope.organization : scope.campaign
  return `${phone}\0${String(place + 1e15).padStart(16, '0')}`
}

function entered(contact: StoredContact, status: ContactStatus, now: Moment): StoredContact {
  return { ...contact, status, completedAt: terminal(status) ? now : null }
}

function summed(contact: StoredContact, attempt: StoredAttempt, outcome: Outcome, sign: 1 | -1): StoredContact {
  const [calls, answered] = decide.callCounts(attempt.step.channel, outcome.disposition)
  return {
    ...contact,
    callAttempts: contact.callAttempts + sign * calls,
    answeredCalls: contact.answeredCalls + sign * answered,
    durationSeconds: contact.durationSeconds + sign * outcome.durationSeconds,
    cost: contact.cost + sign * costOf(attempt, outcome),
  }
}

export class MemoryStore implements ContactStore {
  readonly #id = randomUUID()
  readonly #last = new Map<string, number>()
  readonly #campaigns = new Map<number, StoredCampaign>()
  readonly #contacts = new Map<number, StoredContact>()
  readonly #tries = new Map<number, Try>()
  readonly #nodes = new Map<number, Node>()
  readonly #ledgers = new Map<string, Ledger>()
  readonly #suppressions = new Map<string, StoredSuppression>()
  readonly #documents = new Map<string, Map<string, StoredDocument>>()
  readonly #created = new Map<string, number>()
  readonly #added = new Map<string, Added[]>()
  readonly #claims = new Map<string, { ids: number[]; rest: Omit<Claims, 'claimed'> }>()
  readonly #events: StoredEvent[] = []
  #changes = 0
  #closed = false

  // --- what the methods are written with -------------------------------------------------------------------------------

  #check(): void {
    if (this.#closed) throw new ClosedError('the store is closed')
  }

  #next(series: string): number {
    const number = (this.#last.get(series) ?? 0) + 1
    this.#last.set(series, number)
    return number
  }

  #skipTo(series: string, number: number): void {
    this.#last.set(series, Math.max(this.#last.get(series) ?? 0, number))
  }

  #campaign(id: number): StoredCampaign {
    this.#check()
    const record = this.#campaigns.get(id)
    if (record === undefined) throw new NotFoundError(`campaign ${id} does not exist`)
    return record
  }

  #contact(id: number): StoredContact {
    this.#check()
    const contact = this.#contacts.get(id)
    if (contact === undefined) throw new NotFoundError(`contact ${id} does not exist`)
    return contact
  }

  #members(owner: StoredOwner): StoredContact[] {
    const wanted = key(owner)
    return [...this.#contacts.values()].filter((contact) => key(contact.owner) === wanted).sort(ascending((contact) => contact.id))
  }

  #change(contact: StoredContact): StoredContact {
    const changed = { ...contact, version: contact.version + 1 }
    this.#contacts.set(contact.id, changed)
    return changed
  }

  #of(contact: number): Try[] {
    return [...this.#tries.values()].filter(({ attempt }) => attempt.contact === contact).sort(ascending(({ attempt }) => attempt.id))
  }

  #history(contact: StoredContact): StoredAttempt[] {
    return this.#of(contact.id).map(({ attempt }) => attempt).filter(({ run, state }) => run === contact.run && state === 'settled')
  }

  #emit(campaignId: number, at: Moment, event: { type: string } & Record<string, unknown>): void {
    this.#events.push({ ...event, campaignId, at })
  }

  #ledger(scope: LimitScope): Ledger {
    return this.#ledgers.get(key(scope)) ?? EMPTY
  }

  #scopesOf({ attempt, account }: Try): LimitScope[] {
    const scopes: LimitScope[] = ['deployment', { campaign: attempt.campaign }]
    if (account !== null) scopes.push({ account })
    if (attempt.from !== null) scopes.push({ caller: attempt.from })
    return scopes
  }

  #giveBack(entry: Try, release: 'unused' | { used: number }): void {
    for (const scope of this.#scopesOf(entry)) {
      const reserved = typeof scope === 'object' && 'campaign' in scope ? entry.attempt.reserved : 0
      this.#ledgers.set(key(scope), decide.settleLedger(this.#ledger(scope), reserved, entry.day, release))
    }
  }

  /** Whose a list is only the engine knows. */
  #organization(owner: StoredOwner): number | null {
    return 'campaign' in owner ? (this.#campaigns.get(owner.campaign)?.spec.organization ?? null) : null
  }

  #suppressed(phone: string, owner: StoredOwner, organization: number | null, now: Moment): string | null {
    const scopes: SuppressionScope[] = ['everything']
    if (organization !== null) scopes.push({ organization })
    if ('campaign' in owner) scopes.push({ campaign: owner.campaign })
    const entries = scopes.map((scope) => this.#suppressions.get(suppressionOrder({ phone, scope })))
    return entries.find((entry) => entry !== undefined && (entry.expiresAt === null || entry.expiresAt > now))?.reason ?? null
  }

  #facts(contact: StoredContact, since: Moment | null, now: Moment): ContactFacts {
    const organization = this.#organization(contact.owner)
    const people = since === null ? [] : [...this.#contacts.values()].filter(({ phone }) => phone === contact.phone)
    const same = people.filter(({ owner }) => this.#organization(owner) === organization)
    const counted = same
      .flatMap(({ id }) => this.#of(id))
      .map(({ attempt }) => attempt)
      .filter((attempt) => attempt.state === 'settled' || (open(attempt) && attempt.contact !== contact.id))
    const recent = counted.map((attempt): ContactFacts['recent'][number] => [handedOverAt(attempt), attempt.step.channel])
    return {
      suppressed: this.#suppressed(contact.phone, contact.owner, organization, now),
      recent: recent.filter(([at]) => at >= (since ?? 0)).sort((a, b) => b[0] - a[0]),
    }
  }

  #remove(contact: StoredContact): void {
    for (const entry of this.#of(contact.id)) {
      // Whether an open one was handed over is not known, so its start stays counted.
      if (open(entry.attempt)) this.#giveBack(entry, { used: 0 })
      this.#tries.delete(entry.attempt.id)
    }
    this.#contacts.delete(contact.id)
  }

  // --- campaigns -------------------------------------------------------------------------------------------------------

  createCampaign({ requestId, spec, now }: In<'createCampaign'>[0]): StoredCampaign {
    this.#check()
    const before = this.#campaigns.get(this.#created.get(requestId) ?? 0)
    if (before !== undefined) return before
    const record: StoredCampaign = {
      id: this.#next('campaign'), spec, specVersion: 1, revision: 1, status: 'draft', reason: null,
      run: { number: 1, nextStart: null, resetting: false }, budgetAnnouncedPercent: 0, lastImportFileName: null, lastImportDate: null,
      lastImportRowCount: null, createdAt: now, updatedAt: now, startedAt: null, completedAt: null,
    }
    this.#created.set(requestId, record.id)
    this.#campaigns.set(record.id, record)
    return record
  }

  campaign(id: number): StoredCampaign | null {
    this.#check()
    return this.#campaigns.get(id) ?? null
  }

  campaigns(query: In<'campaigns'>[0]): Page<StoredCampaign> {
    this.#check()
    const fits = ({ status, spec }: StoredCampaign): boolean =>
      (query.statuses.length === 0 || query.statuses.includes(status)) &&
      (query.campaignType === null || spec.campaignType === query.campaignType) &&
      (query.organization === null || spec.organization === query.organization) &&
      (query.assistantId === null || spec.assistantId === query.assistantId) &&
      found(query.search, spec.name, spec.description)
    return page([...this.#campaigns.values()].filter(fits).sort((a, b) => b.id - a.id), query.paging)
  }

  saveCampaign({ record, expectedRevision, guard, now }: In<'saveCampaign'>[0]): StoredCampaign {
    const before = this.#campaign(record.id)
    if (before.revision !== expectedRevision) throw new ConflictError('the campaign was changed in between; read it again')
    const has = (...statuses: ContactStatus[]): boolean =>
      this.#members({ campaign: record.id }).some(({ status }) => statuses.includes(status))
    if (guard === 'no_open_contacts' && has('pending', 'in_progress')) throw new StateError('contacts are still pending or in progress')
    if (guard === 'some_pending_contacts' && !has('pending')) throw new StateError('no contact is pending')
    const saved = { ...record, revision: before.revision + 1, updatedAt: now }
    this.#campaigns.set(saved.id, saved)
    for (const event of decide.announce(before, saved, this.#ledger({ campaign: saved.id }).spent)) this.#emit(saved.id, now, event)
    this.#changes++
    return saved
  }

  deleteCampaign(id: number): void {
    this.#check()
    for (const contact of this.#members({ campaign: id })) this.#remove(contact)
    this.#ledgers.delete(key({ campaign: id }))
    this.#campaigns.delete(id)
    this.#changes++
  }

  // --- contacts --------------------------------------------------------------------------------------------------------

  addContacts({ requestId, owner, organization: ofList, contacts, duplicates, now }: In<'addContacts'>[0]): Added[] {
    this.#check()
    const before = this.#added.get(requestId)
    if (before !== undefined) return before
    let run = 1
    let organization = ofList
    if ('campaign' in owner) {
      const record = this.#campaign(owner.campaign)
      organization = record.spec.organization
      if (['completed', 'cancelled', 'failed'].includes(record.status)) throw new StateError('the campaign has ended')
      run = record.run.number
    }
    const known = new Map(this.#members(owner).map((contact) => [contact.phone, contact.id]))
    const added = contacts.map((person): Added => {
      const id = known.get(person.phone)
      if (id !== undefined) {
        if (duplicates === 'skip') return { duplicate: id }
        this.#takeOverData(id, person)
        return { updated: id }
      }
      const contact: StoredContact = {
        ...person, id: this.#next('contact'), owner, status: 'pending', reason: null, run, attempts: 0, dueAt: now, step: null,
        lastDisposition: null, lastAttemptAt: null, repliedAt: null, completedAt: null, answeredCalls: 0, callAttempts: 0, durationSeconds: 0,
        cost: 0, version: 0, createdAt: now,
      }
      known.set(person.phone, contact.id)
      const verdict = decide.suppression({ suppressed: this.#suppressed(person.phone, owner, organization, now), recent: [] })
      if (verdict.verdict !== 'never') {
        this.#contacts.set(contact.id, contact)
        return { new: contact.id }
      }
      this.#contacts.set(contact.id, { ...entered(contact, 'skipped', now), reason: verdict.reason })
      return { suppressed: contact.id }
    })
    this.#added.set(requestId, added)
    return added
  }

  #takeOverData(id: number, person: NewContact): void {
    const old = this.#contact(id)
    this.#change({
      ...old,
      name: person.name ?? old.name,
      email: person.email ?? old.email,
      company: person.company ?? old.company,
      consent: person.consent ?? old.consent,
      zones: person.zones === '' ? old.zones : person.zones,
      variables: { ...old.variables, ...person.variables },
    })
  }

  contact(id: number): StoredContact | null {
    this.#check()
    return this.#contacts.get(id) ?? null
  }

  contacts(query: In<'contacts'>[0]): Page<StoredContact> {
    this.#check()
    const fits = (contact: StoredContact): boolean =>
      (query.after === null || contact.id > query.after) &&
      (query.statuses.length === 0 || query.statuses.includes(contact.status)) &&
      found(query.search, contact.name, contact.email, contact.phone)
    return page(this.#members(query.owner).filter(fits), query.paging, query.count)
  }

  updateContact(update: In<'updateContact'>[0]): StoredContact {
    let contact = this.#contact(update.id)
    if (contact.version !== update.expectedVersion) throw new ConflictError('the contact was changed in between; read it again')
    if (update.transition !== null) {
      const { from, to } = update.transition
      if (from !== contact.status || from === 'in_progress' || to === 'in_progress') {
        throw new StateError(`a contact that is ${contact.status} cannot change from ${from} to ${to}`)
      }
      contact = entered(contact, to, update.now)
    }
    this.#changes++
    return this.#change({
      ...contact,
      reason: update.reason ?? contact.reason,
      dueAt: update.dueAt ?? contact.dueAt,
      step: update.step ?? contact.step,
      repliedAt: update.repliedAt ?? contact.repliedAt,
    })
  }

  removeContacts(owner: StoredOwner, ids: number[]): number {
    this.#check()
    const wanted = new Set(ids)
    const going = this.#members(owner).filter(({ id, status }) => wanted.has(id) && status !== 'in_progress')
    for (const contact of going) this.#remove(contact)
    this.#changes++
    return going.length
  }

  bulkChange({ campaign, selection, action, limit, now }: In<'bulkChange'>[0]): number {
    this.#campaign(campaign)
    const applies = ({ status, run }: StoredContact): boolean => {
      if (action === 'remove_untouched') return status === 'pending' || status === 'skipped'
      return 'reset' in action ? terminal(status) && run < action.reset.run : status === 'pending'
    }
    const chosen = ({ status, id }: StoredContact): boolean =>
      selection === 'all' || ('statuses' in selection ? selection.statuses.includes(status) : selection.ids.includes(id))
    const going = this.#members({ campaign }).filter((contact) => applies(contact) && chosen(contact)).slice(0, limit)
    for (const contact of going) this.#bulk(contact, action, now)
    this.#changes++
    return going.length
  }

  #bulk(contact: StoredContact, action: BulkAction, now: Moment): void {
    if (action === 'remove_untouched') {
      this.#remove(contact)
    } else if ('reset' in action) {
      decide.transition(contact.status, 'reset')
      this.#change({
        ...contact, status: 'pending', reason: null, run: action.reset.run, attempts: 0, dueAt: now, step: null, lastDisposition: null,
        lastAttemptAt: null, repliedAt: null, completedAt: null, answeredCalls: 0, callAttempts: 0, durationSeconds: 0, cost: 0,
      })
    } else {
      const [event, reason] =
        'cancel' in action ? (['cancel', action.cancel.reason] as const) : ([{ finish: 'skipped' }, action.skip.reason] as const)
      this.#change({ ...entered(contact, decide.transition(contact.status, event), now), reason })
    }
  }

  // --- suppressions ----------------------------------------------------------------------------------------------------

  suppress(entries: StoredSuppression[]): void {
    this.#check()
    for (const entry of entries) this.#suppressions.set(suppressionOrder(entry), entry)
    this.#changes++
  }

  unsuppress(keys: In<'unsuppress'>[0]): number {
    this.#check()
    this.#changes++
    return keys.filter((entry) => this.#suppressions.delete(suppressionOrder(entry))).length
  }

  suppressions(query: In<'suppressions'>[0]): Page<StoredSuppression> {
    this.#check()
    const fits = (entry: StoredSuppression): boolean =>
      (query.phone === null || entry.phone === query.phone) &&
      (query.scope === null || key(entry.scope) === key(query.scope)) &&
      (query.after === null || suppressionOrder(entry) > suppressionOrder(query.after))
    return page([...this.#suppressions.values()].filter(fits).sort(ascending(suppressionOrder)), query.paging)
  }

  // --- nodes -----------------------------------------------------------------------------------------------------------

  registerNode({ name, lease, now }: In<'registerNode'>[0]) {
    this.#check()
    const number = this.#next('node')
    const token = { node: number, epoch: number }
    const expiresAt = now + Math.round(lease * SECOND)
    this.#nodes.set(number, { token, name, startedAt: now, expiresAt })
    return { token, storeId: this.#id, expiresAt, now }
  }

  #holder(token: NodeToken): Node | undefined {
    const node = this.#nodes.get(token.node)
    return node?.token.epoch === token.epoch ? node : undefined
  }

  #live(token: NodeToken, now: Moment): Node {
    this.#check()
    const node = this.#holder(token)
    if (node === undefined || node.expiresAt <= now) throw new StaleError("the node's lease has run out; register it anew")
    return node
  }

  renewNode({ token, lease, now }: In<'renewNode'>[0]): void {
    this.#nodes.set(token.node, { ...this.#live(token, now), expiresAt: now + Math.round(lease * SECOND) })
  }

  retireNode(token: NodeToken): void {
    this.#check()
    if (this.#holder(token) !== undefined) this.#nodes.delete(token.node)
  }

  nodes(now: Moment) {
    this.#check()
    const held = (token: NodeToken): number =>
      [...this.#tries.values()].filter(({ attempt }) => open(attempt) && key(attempt.claimedBy) === key(token)).length
    return [...this.#nodes.values()]
      .filter(({ expiresAt }) => expiresAt > now)
      .map(({ token, name, startedAt, expiresAt }) => ({ id: token.node, name, startedAt, expiresAt, inFlight: held(token) }))
  }

  // --- execution -------------------------------------------------------------------------------------------------------

  claim(request: ClaimRequest): Claims {
    this.#check()
    const before = this.#claims.get(request.requestId)
    if (before !== undefined) return { ...before.rest, claimed: before.ids.map((id) => this.#claimed(id)) }
    this.#live(request.token, request.now)
    const claims: Claims = { claimed: [], campaignChanged: false, block: null, passedOver: 0, more: false, now: request.now }
    const record = this.#campaigns.get(request.campaign)
    if (record?.status !== 'running' || record.revision !== request.expectedRevision) return { ...claims, campaignChanged: true }

    const scopes = [...request.limits.shared, ...request.limits.callers].map(({ scope }) => scope)
    const slots = new Slots(request.limits, scopes.map((scope) => this.#ledger(scope)), request.now)
    const reach = decide.lookBack(request.gates)
    const since = reach === null ? null : request.now - reach * SECOND
    const ids: number[] = []
    for (const [index, contact] of this.#due(request).entries()) {
      if (ids.length >= request.max || index >= request.max + 1000) {
        claims.more = true
        break
      }
      const verdict = decide.gates(request.gates, contact, this.#facts(contact, since, request.now), request.now)
      if (verdict.verdict === 'not_before') {
        claims.passedOver++
        this.#change({ ...contact, dueAt: verdict.until ?? contact.dueAt, reason: verdict.reason })
        continue
      }
      if (verdict.verdict === 'never') {
        claims.passedOver++
        const status = decide.transition('pending', { finish: 'skipped' })
        this.#change({ ...entered(contact, status, request.now), reason: verdict.reason })
        continue
      }
      const slot = slots.take(contact.dueAt)
      if (slot === null) {
        claims.block = slots.block
        claims.more = true
        break
      }
      ids.push(this.#begin(request, contact, slot))
    }
    if (ids.length === 0) return claims

    for (const [index, ledger] of slots.ledgers.entries()) this.#ledgers.set(key(scopes[index]), ledger)
    // Ledgers without a rule in this claim count its attempts too, so that settling is always the mirror of claiming.
    const limited = new Set(scopes.map(key))
    for (const entry of ids.flatMap((id) => this.#tries.get(id) ?? [])) {
      for (const scope of this.#scopesOf(entry).filter((scope) => !limited.has(key(scope)))) {
        const ledger = this.#ledger(scope)
        this.#ledgers.set(key(scope), { ...ledger, inFlight: ledger.inFlight + 1 })
      }
    }
    claims.claimed = ids.map((id) => this.#claimed(id))
    const { claimed: _, ...rest } = claims
    this.#claims.set(request.requestId, { ids, rest })
    return claims
  }

  /** The front of the queue: zones in the order asked for, within a zone by due time, then id. */
  #due({ campaign, zones, limits, max }: ClaimRequest): StoredContact[] {
    const pending = this.#members({ campaign }).filter(({ status, dueAt }) => status === 'pending' && dueAt <= limits.horizon)
    const queue = zones.flatMap((zone) => pending.filter((contact) => contact.zones === zone).sort((a, b) => a.dueAt - b.dueAt || a.id - b.id))
    return queue.slice(0, max + 1001)
  }

  #begin(request: ClaimRequest, contact: StoredContact, slot: Slot): number {
    const { id: contactId, run } = contact
    this.#change({ ...entered(contact, decide.transition(contact.status, 'claim'), request.now), reason: null })
    const id = this.#next('attempt')
    const attempt: StoredAttempt = {
      id, key: `${this.#id}-${id}`, campaign: request.campaign, contact: contactId, run, number: contact.attempts + 1,
      step: contact.step ?? request.firstStep, from: slot.caller, specVersion: request.specVersion, state: 'claimed',
      claimedBy: request.token, claimedAt: request.now, startAt: slot.startAt, notAfter: slot.startAt + Math.round(request.grace * SECOND),
      reserved: slot.reserved, providerRef: null, startedAt: null, finishedAt: null, outcome: null, reason: null,
    }
    this.#tries.set(id, { attempt, account: request.account, day: slot.day })
    this.#emit(request.campaign, request.now, { type: 'contact_started', contactId, attemptId: id, channel: attempt.step.channel })
    return id
  }

  #claimed(id: number): Claimed {
    const attempt = this.#tries.get(id)?.attempt
    if (attempt === undefined) throw new NotFoundError(`attempt ${id} does not exist`)
    const contact = this.#contact(attempt.contact)
    return { attempt, contact, history: this.#history(contact) }
  }

  #held(id: number, token: NodeToken): Try | undefined {
    const entry = this.#tries.get(id)
    return entry !== undefined && open(entry.attempt) && key(entry.attempt.claimedBy) === key(token) ? entry : undefined
  }

  placed(placed: In<'placed'>[0]): void {
    this.#check()
    for (const { attempt: id, token, providerRef, at } of placed) {
      const entry = this.#held(id, token)
      if (entry === undefined) continue
      this.#tries.set(id, { ...entry, attempt: { ...entry.attempt, state: 'placed', providerRef, startedAt: at } })
    }
  }

  settle({ token, settlements, now }: In<'settle'>[0]) {
    this.#check()
    // Looked at before anything is done: the batch happens whole or not at all.
    for (const { transition } of settlements) {
      if (transition.from !== 'in_progress') throw new StateError(`an attempt cannot be settled from ${transition.from}`)
    }
    const campaigns = new Set(settlements.flatMap(({ attempt }) => this.#tries.get(attempt)?.attempt.campaign ?? []))
    const acks = settlements.map((settlement): 'settled' | 'stale' => {
      const entry = this.#held(settlement.attempt, token)
      if (entry === undefined) return 'stale'
      this.#settle(entry, settlement, now)
      return 'settled'
    })
    return {
      acks,
      campaigns: [...campaigns].sort((a, b) => a - b).map((campaign) => ({
        campaign,
        open: this.#members({ campaign }).filter(({ status }) => !terminal(status)).length,
        spent: this.#ledger({ campaign }).spent,
      })),
    }
  }

  #settle(entry: Try, { end, startedAt, transition, reason, dueAt, step }: Settlement, now: Moment): void {
    const outcome = typeof end === 'object' ? end.finished : null
    this.#giveBack(entry, outcome === null ? 'unused' : { used: costOf(entry.attempt, outcome) })
    const attempt: StoredAttempt = { ...entry.attempt, startedAt: startedAt ?? entry.attempt.startedAt, finishedAt: now, reason }
    let contact: StoredContact = { ...entered(this.#contact(attempt.contact), transition.to, now), reason }
    if (transition.to === 'pending') contact = { ...contact, dueAt: dueAt ?? contact.dueAt, step: step ?? contact.step }
    if (outcome !== null) {
      const last = { lastDisposition: outcome.disposition, lastAttemptAt: handedOverAt(attempt) }
      contact = summed({ ...contact, ...last, attempts: contact.attempts + 1 }, attempt, outcome, 1)
    }
    this.#change(contact)
    if (outcome === null) {
      if (end === 'unused') this.#tries.delete(attempt.id)
      else this.#tries.set(attempt.id, { ...entry, attempt: { ...attempt, state: 'refused' } })
      return
    }
    const providerRef = outcome.providerRef ?? attempt.providerRef
    this.#tries.set(attempt.id, { ...entry, attempt: { ...attempt, state: 'settled', providerRef, outcome } })
    const { channel } = attempt.step
    this.#emit(attempt.campaign, now, {
      type: decide.isSuccess(channel, outcome.disposition) ? 'contact_completed' : 'contact_failed',
      contactId: contact.id, attemptId: attempt.id, channel, disposition: outcome.disposition, status: transition.to,
      durationSeconds: outcome.durationSeconds, cost: costOf(attempt, outcome),
    })
  }

  amend(id: number, outcome: Outcome): StoredAttempt {
    this.#check()
    const entry = this.#tries.get(id)
    if (entry === undefined) throw new NotFoundError(`attempt ${id} does not exist`)
    const { attempt } = entry
    if (attempt.state !== 'settled' || attempt.outcome === null) throw new StateError('only a settled attempt can be amended')
    const difference = costOf(attempt, outcome) - costOf(attempt, attempt.outcome)
    for (const scope of this.#scopesOf(entry)) {
      const ledger = this.#ledger(scope)
      this.#ledgers.set(key(scope), { ...ledger, spent: ledger.spent + difference })
    }
    const contact = this.#contact(attempt.contact)
    // The sums of a contact are those of its current run.
    if (contact.run === attempt.run) this.#change(summed(summed(contact, attempt, attempt.outcome, -1), attempt, outcome, 1))
    const amended = { ...attempt, outcome, providerRef: outcome.providerRef ?? attempt.providerRef }
    this.#tries.set(id, { ...entry, attempt: amended })
    return amended
  }

  takeOver({ token, quarantine, limit, now }: In<'takeOver'>[0]): Claimed[] {
    this.#live(token, now)
    const longAgo = (moment: Moment): boolean => moment + quarantine * SECOND <= now
    const abandoned = ({ attempt }: Try): boolean => {
      // A node that is not there any more has retired; its attempts need not wait for a lease.
      const node = this.#holder(attempt.claimedBy)
      return open(attempt) && (node === undefined || longAgo(node.expiresAt)) && longAgo(attempt.notAfter)
    }
    const taken = [...this.#tries.values()].filter(abandoned).sort(ascending(({ attempt }) => attempt.id)).slice(0, limit)
    return taken.map((entry) => {
      this.#tries.set(entry.attempt.id, { ...entry, attempt: { ...entry.attempt, claimedBy: token } })
      return this.#claimed(entry.attempt.id)
    })
  }

  // --- reading ---------------------------------------------------------------------------------------------------------

  counts(campaign: number): Counts {
    this.#campaign(campaign)
    const counts: Counts = { byStatus: {}, callAttempts: 0, answeredCalls: 0, durationSeconds: 0, cost: 0 }
    for (const contact of this.#members({ campaign })) {
      counts.byStatus[contact.status] = (counts.byStatus[contact.status] ?? 0) + 1
      counts.callAttempts += contact.callAttempts
      counts.answeredCalls += contact.answeredCalls
      counts.durationSeconds += contact.durationSeconds
      counts.cost += contact.cost
    }
    return counts
  }

  attempts(query: In<'attempts'>[0]): Page<StoredAttempt> {
    this.#check()
    const fits = (attempt: StoredAttempt): boolean =>
      (query.campaign === null || attempt.campaign === query.campaign) &&
      (query.contact === null || attempt.contact === query.contact) &&
      (query.run === null || attempt.run === query.run) &&
      (query.id === null || attempt.id === query.id) &&
      (query.before === null || attempt.id < query.before) &&
      (query.providerRef === null || attempt.providerRef === query.providerRef) &&
      (query.dispositions.length === 0 || (attempt.outcome !== null && query.dispositions.includes(attempt.outcome.disposition))) &&
      (!query.openOnly || open(attempt))
    const all = [...this.#tries.values()].map(({ attempt }) => attempt).filter(fits)
    return page(all.sort((a, b) => b.id - a.id), query.paging, query.count)
  }

  pendingZones(campaign: number) {
    this.#campaign(campaign)
    const first = new Map<string, Moment>()
    for (const { zones, status, dueAt } of this.#members({ campaign })) {
      if (status === 'pending') first.set(zones, Math.min(first.get(zones) ?? Infinity, dueAt))
    }
    return [...first].sort(ascending(([zones]) => zones)).map(([zones, firstDue]) => ({ zones, firstDue }))
  }

  reasons(campaign: number, now: Moment) {
    this.#campaign(campaign)
    type Group = Awaited<ReturnType<ContactStore['reasons']>>[number]
    const groups = new Map<string, Group>()
    for (const { status, zones, reason, dueAt } of this.#members({ campaign })) {
      const pending = status === 'pending'
      const group = { status, zones: pending ? zones : '', code: reason?.code ?? null, due: pending && dueAt <= now }
      const before = groups.get(key(group))
      const firstDue = pending ? Math.min(before?.firstDue ?? Infinity, dueAt) : null
      groups.set(key(group), { ...group, firstDue, count: (before?.count ?? 0) + 1 })
    }
    return [...groups.values()]
  }

  facts(contact: number, since: Moment | null, now: Moment): ContactFacts {
    return this.#facts(this.#contact(contact), since, now)
  }

  ledgers(scopes: LimitScope[]): Ledger[] {
    this.#check()
    return scopes.map((scope) => this.#ledger(scope))
  }

  timeline({ campaign, from, to, bucketSeconds }: In<'timeline'>[0]) {
    this.#campaign(campaign)
    type Bucket = Awaited<ReturnType<ContactStore['timeline']>>[number]
    const buckets = new Map<Moment, Bucket>()
    for (const { attempt } of this.#tries.values()) {
      const { finishedAt: at, outcome } = attempt
      if (attempt.campaign !== campaign || at === null || outcome === null || at < from || at >= to) continue
      const start = Math.floor(at / (bucketSeconds * SECOND)) * bucketSeconds * SECOND
      const bucket = buckets.get(start) ?? { start, dispositions: {}, durationSeconds: 0, cost: 0 }
      bucket.dispositions[outcome.disposition] = (bucket.dispositions[outcome.disposition] ?? 0) + 1
      bucket.durationSeconds += outcome.durationSeconds
      bucket.cost += costOf(attempt, outcome)
      buckets.set(start, bucket)
    }
    return [...buckets.values()].sort(ascending(({ start }) => start))
  }

  changes(): number {
    this.#check()
    return this.#changes
  }

  events({ after, campaign, limit }: In<'events'>[0]) {
    this.#check()
    // Events are numbered through, so the three numbers of a cursor are one.
    const cursor = (place: number) => ({ claimed: place, settled: place, saved: place })
    if (after === null) return { events: [], next: cursor(this.#events.length), more: false }
    const events: StoredEvent[] = []
    let place = after.saved
    while (place < this.#events.length && events.length < limit) {
      const event = this.#events[place++]
      if (event !== undefined && (campaign === null || event.campaignId === campaign)) events.push(event)
    }
    return { events, next: cursor(place), more: place < this.#events.length }
  }

  // --- documents and copying -------------------------------------------------------------------------------------------

  putDocument({ collection, key, value, expectedRevision }: In<'putDocument'>[0]): number {
    this.#check()
    const documents = this.#documents.get(collection) ?? new Map<string, StoredDocument>()
    const stored = documents.get(key)?.revision ?? 0
    if (expectedRevision !== null && expectedRevision !== stored) throw new ConflictError('the document was changed in between; read it again')
    this.#documents.set(collection, documents.set(key, { key, value, revision: stored + 1 }))
    return stored + 1
  }

  documents(query: In<'documents'>[0]): StoredDocument[] {
    this.#check()
    const fits = ({ key }: StoredDocument): boolean => (query.key === null || key === query.key) && (query.after === null || key > query.after)
    return [...(this.#documents.get(query.collection)?.values() ?? [])].filter(fits).sort(ascending(({ key }) => key)).slice(0, query.limit)
  }

  deleteDocument(collection: string, key: string): boolean {
    this.#check()
    return this.#documents.get(collection)?.delete(key) ?? false
  }

  nextNumber(sequence: string): number {
    this.#check()
    return this.#next(`own:${sequence}`)
  }

  catalog() {
    this.#check()
    return {
      collections: [...this.#documents].filter(([, documents]) => documents.size > 0).map(([name]) => name).sort(),
      sequences: [...this.#last]
        .filter(([series]) => series.startsWith('own:'))
        .map(([series, last]): [string, number] => [series.slice(4), last])
        .sort(ascending(([name]) => name)),
      scopes: [...this.#ledgers.keys()].map((scope) => JSON.parse(scope) as LimitScope),
    }
  }

  restore(snapshot: Snapshot): void {
    this.#check()
    const campaigns = new Set([...this.#campaigns.keys(), ...snapshot.campaigns.map(({ id }) => id)])
    const contacts = new Set([...this.#contacts.keys(), ...snapshot.contacts.map(({ id }) => id)])
    for (const { owner } of snapshot.contacts) {
      if ('campaign' in owner && !campaigns.has(owner.campaign)) throw new NotFoundError(`campaign ${owner.campaign} does not exist`)
    }
    for (const { contact } of snapshot.attempts) if (!contacts.has(contact)) throw new NotFoundError(`contact ${contact} does not exist`)
    for (const record of snapshot.campaigns) {
      this.#skipTo('campaign', record.id)
      this.#campaigns.set(record.id, record)
    }
    for (const contact of snapshot.contacts) {
      this.#skipTo('contact', contact.id)
      this.#contacts.set(contact.id, contact)
    }
    for (const attempt of snapshot.attempts) {
      this.#skipTo('attempt', attempt.id)
      // Tokens given later must differ from the one that holds it.
      this.#skipTo('node', Math.max(attempt.claimedBy.node, attempt.claimedBy.epoch))
      this.#tries.set(attempt.id, { attempt, account: null, day: null })
    }
    for (const entry of snapshot.suppressions) this.#suppressions.set(suppressionOrder(entry), entry)
    for (const [collection, document] of snapshot.documents) {
      this.#documents.set(collection, (this.#documents.get(collection) ?? new Map<string, StoredDocument>()).set(document.key, document))
    }
    for (const [name, last] of snapshot.sequences) this.#skipTo(`own:${name}`, last)
    for (const [scope, ledger] of snapshot.ledgers) this.#ledgers.set(key(scope), ledger)
    this.#changes++
  }

  close(): void {
    this.#check()
    this.#closed = true
  }
}
