import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { carry, describeAssistant, type Assistant, type RelayEnds, type RelaySession, type RelaySocket } from './assistant'
import { Bridge, isThenable, PIECE, type Target } from './bridge'
import { describeKinds, type CampaignKind } from './campaign'
import { fromEngine, rows, toEngine } from './convert'
import { describeDialer, type Outcome } from './dialer'
import { InvalidError, nameOf, UserCodeError, type CampaignError } from './errors'
import { EventStream } from './events'
import type { AnyDialer, OpenAiAssistant, ScriptedAssistant } from './providers'
import { describeStore, type ContactStore } from './store'
import type * as t from './types'

/** What an engine is opened with. What is left out has the engine's default. */
export interface EngineOptions {
  /**
   * Who places calls and sends messages: one by configuration ({@link TwilioDialer}, {@link ElevenLabsDialer}, {@link WebhookDialer},
   * {@link RoutedDialer}, {@link SimulatedDialer}), or an object of yours.
   */
  dialer: AnyDialer
  /** Who answers people: messages where a campaign's `replies.assistant` is set, and calls behind a relay. Default: nobody. */
  assistant?: Assistant | OpenAiAssistant | ScriptedAssistant
  /** Kinds of campaigns of your own, by the name that `campaignType` gives. */
  campaigns?: Record<string, CampaignKind>
  /**
   * Hears of what went wrong in code of yours that no caller waits for: what it threw, or that its answer is not understood. `cause` is the very
   * object that was thrown, `context` says where. A {@link DialError} without a cause is nothing unusual and is not told.
   */
  onError?: (error: UserCodeError) => void
  /** A name of this node for people. */
  nodeName?: string
  /** Seconds this node may be silent before others take over its attempts. Default 15. */
  lease?: number
  /** Seconds the process may stand still between the last check and the hand-off. Default 10. */
  longestPause?: number
  /** Seconds between looks for changes made by other processes. Default 0.5. */
  pollInterval?: number
  /** No other process uses the store, so that nothing is polled for. */
  alone?: boolean
  /** Seconds that attempts are claimed ahead. Default 1. */
  lookAhead?: number
  /** Contacts per claim, and outcomes per settlement. Default 1000. */
  batch?: number
  /** Attempts at once over all campaigns and nodes. Default: no cap. */
  maxInFlight?: number
  /** Starts per time over all campaigns and nodes. Default: no limit. */
  maxRate?: { starts: number; perSeconds: number }
  /** Seconds for which a provider that knows nothing is asked about an attempt in doubt. Default 600. */
  doubtPatience?: number
  /** Events kept for a slow reader. Default 4096. */
  eventBuffer?: number
  /** Whether messages to and from people are kept as conversations. Default true. */
  conversations?: boolean
  /** Whether this process executes campaigns. With `false` it stands beside the nodes: it imports, starts, pauses and watches, and they dial. Default true. */
  executes?: boolean
  /** Seed of retry jitter. Default 0. */
  seed?: number
}

/** Contacts: a path, bytes, a stream of bytes, or objects with the keys a file would have as headers. */
export type ImportSource = string | URL | Uint8Array | Readable | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string> | t.ContactRow[]

/** How to stop: seconds to wait for running attempts, `Infinity` for as long as it takes. */
export interface Patience {
  /** Seconds. */
  patience?: number
}

/** Which contacts a re-execution reaches again: all, those that count as failed, or these. */
export type Reexecution = 'all' | 'failed_only' | number[]

/**
 * The campaign engine: a handle to a running node.
 *
 * An engine whose campaigns are all at rest does not keep the process open; one that has work does, until {@link Engine.close}. A process that
 * ends without closing loses nothing: what was in flight is recovered by the next start.
 *
 * @example
 * ```ts
 * const engine = await Engine.open('sqlite://campaigns.db', { dialer: new SimulatedDialer({ seed: 7 }) })
 * const campaign = await engine.createCampaign({ name: 'Reminders', welcomeMessageTemplate: 'Hi {{ name }}' })
 * await engine.addContacts(campaign.id, [{ phone_number: '+12125550123', name: 'Ada' }])
 * await engine.start(campaign.id)
 * console.log((await engine.wait(campaign.id)).successRate)
 * await engine.close()
 * ```
 */
export class Engine {
  readonly #bridge: Bridge
  readonly #streams = new Set<EventStream>()
  readonly #onError: ((error: UserCodeError) => void) | undefined
  #readers = 0
  #closing: Promise<void> | undefined

  private constructor(bridge: Bridge, onError: ((error: UserCodeError) => void) | undefined) {
    this.#bridge = bridge
    this.#onError = onError
  }

  /**
   * Opens an engine on a store: `memory://`, `sqlite://campaigns.db`, another URL that the engine knows, or an object of yours. Campaigns that
   * were running go on.
   */
  static async open(store: string | ContactStore, options: EngineOptions): Promise<Engine> {
    if (typeof options !== 'object' || options === null || !('dialer' in options)) {
      throw new InvalidError('an engine needs a dialer: Engine.open(store, { dialer })', { context: { field: 'dialer' } })
    }
    const { dialer, assistant, campaigns, onError, ...settings } = options
    requireFunction('onError', onError)
    const bridge = new Bridge()
    const engine = new Engine(bridge, onError)
    bridge.complain = (error) => engine.#complain(error)
    try {
      await bridge.call('open', {
        store: typeof store === 'string' ? store : describeStore(bridge, store),
        dialer: await describeDialer(bridge, dialer),
        assistant: describeAssistant(bridge, assistant),
        kinds: describeKinds(bridge, campaigns ?? {}),
        options: toEngine(settings),
      })
    } catch (error) {
      bridge.end()
      throw error
    }
    bridge.watch()
    return engine
  }

  // --- campaigns ---------------------------------------------------------------------------------------------------------

  /** Creates a campaign in status `draft`. */
  async createCampaign(campaign: t.CampaignSpec): Promise<t.CampaignRecord> {
    return this.#bridge.get('create_campaign', { campaign: toEngine(campaign) })
  }

  /** One campaign, with its counters. */
  async getCampaign(campaignId: number): Promise<t.CampaignRecord> {
    return this.#bridge.get('get_campaign', { campaign_id: campaignId })
  }

  /** Campaigns, newest first. */
  async listCampaigns(query: t.CampaignQuery = {}): Promise<t.Page<t.CampaignRecord>> {
    return this.#bridge.get('list_campaigns', { query: toEngine(query) })
  }

  /** Changes a campaign; while it runs, the change takes effect at the next hand-off. */
  async updateCampaign(campaignId: number, changes: t.CampaignChanges): Promise<t.CampaignRecord> {
    return this.#bridge.get('update_campaign', { campaign_id: campaignId, changes: toEngine(changes) })
  }

  /** Deletes a campaign with its contacts and attempts; not while it reaches people. */
  async deleteCampaign(campaignId: number): Promise<void> {
    await this.#bridge.call('delete_campaign', { campaign_id: campaignId })
  }

  /** Starts a campaign: at once, or at its moment when the schedule lies in the future. Also resumes a paused one. */
  async start(campaignId: number): Promise<t.CampaignRecord> {
    return this.#bridge.get('start', { campaign_id: campaignId })
  }

  /** Sets when the campaign starts. */
  async schedule(campaignId: number, schedule: t.Schedule): Promise<t.CampaignRecord> {
    return this.#bridge.get('schedule', { campaign_id: campaignId, schedule: toEngine(schedule) })
  }

  /** Takes the start back: a scheduled campaign becomes a draft. */
  async unschedule(campaignId: number): Promise<t.CampaignRecord> {
    return this.#bridge.get('unschedule', { campaign_id: campaignId })
  }

  /** Holds a running campaign: when this resolves, no further hand-off of it happens on this node. */
  async pause(campaignId: number): Promise<t.CampaignRecord> {
    return this.#bridge.get('pause', { campaign_id: campaignId })
  }

  /** Lets a paused campaign go on. */
  async resume(campaignId: number): Promise<t.CampaignRecord> {
    return this.#bridge.get('resume', { campaign_id: campaignId })
  }

  /** Ends a campaign: remaining contacts become `cancelled`, running attempts finish. */
  async cancel(campaignId: number): Promise<t.CampaignRecord> {
    return this.#bridge.get('cancel', { campaign_id: campaignId })
  }

  /** Closes a campaign none of whose contacts is open as `completed`. */
  async complete(campaignId: number): Promise<t.CampaignRecord> {
    return this.#bridge.get('complete', { campaign_id: campaignId })
  }

  /** Makes an ended campaign ready to reach contacts again, and returns how many; `start` does the rest. */
  async reExecute(campaignId: number, contacts: Reexecution = 'all'): Promise<number> {
    return this.#bridge.get('re_execute', { campaign_id: campaignId, contacts })
  }

  /** Waits until the campaign is completed, cancelled or failed, and returns its last counters. */
  async wait(campaignId: number): Promise<t.Progress> {
    return this.#bridge.get('wait', { campaign_id: campaignId })
  }

  /** The counters of a campaign. */
  async progress(campaignId: number): Promise<t.Progress> {
    return this.#bridge.get('progress', { campaign_id: campaignId })
  }

  // --- contacts ----------------------------------------------------------------------------------------------------------

  /** Imports contacts into a campaign or a contact list. Good rows always go in; bad ones are in the report. */
  async importContacts(owner: t.Owner, source: ImportSource, options: t.ImportOptions = {}): Promise<t.ImportReport> {
    return this.#import('import_contacts', ownerOf(owner), source, options)
  }

  /** Adds contacts by a call, along the same path as an import. */
  async addContacts(owner: t.Owner, contacts: t.ContactRow[], options: t.ImportOptions = {}): Promise<t.ImportReport> {
    return this.#import('import_contacts', ownerOf(owner), contacts, options)
  }

  /** One contact. */
  async getContact(contactId: number): Promise<t.Contact> {
    return this.#bridge.get('get_contact', { contact_id: contactId })
  }

  /** Contacts of a campaign or a contact list, by ascending id. */
  async listContacts(owner: t.Owner, query: t.ContactQuery = {}): Promise<t.Page<t.Contact>> {
    return this.#bridge.get('list_contacts', { ...ownerOf(owner), query: toEngine(query) })
  }

  /** Every contact of a campaign or a contact list, by ascending id, read page by page (`limit` at a time) as it is walked through. */
  async *iterContacts(owner: t.Owner, query: Omit<t.ContactQuery, 'page' | 'perPage' | 'offset' | 'count'> = {}): AsyncGenerator<t.Contact, void, undefined> {
    let after = query.after ?? 0
    for (;;) {
      const { items } = await this.listContacts(owner, { ...query, after, count: false })
      yield* items
      const last = items.at(-1)
      if (last === undefined) return
      after = last.id
    }
  }

  /** Removes contacts that are not being contacted right now; returns how many went. */
  async removeContacts(owner: t.Owner, contactIds: number[]): Promise<number> {
    return this.#bridge.get('remove_contacts', { ...ownerOf(owner), contact_ids: contactIds })
  }

  /** Says that a person answered back (a message, a returned call). Mixed campaigns branch on it at once. */
  async recordReply(contactId: number): Promise<t.Contact> {
    return this.#bridge.get('record_reply', { contact_id: contactId })
  }

  /** Creates a contact list, of an organisation or the program's own. */
  async createList(name: string, description?: string | null, options: { organizationId?: number | null } = {}): Promise<t.ContactList> {
    return this.#bridge.get('create_list', { name, description, organization_id: options.organizationId })
  }

  /** One contact list. */
  async getList(listId: number): Promise<t.ContactList> {
    return this.#bridge.get('get_list', { list_id: listId })
  }

  /** Changes the name or the description of a contact list; what is left out stays. */
  async updateList(listId: number, changes: { name?: string | null, description?: string | null }): Promise<t.ContactList> {
    return this.#bridge.get('update_list', { list_id: listId, name: changes.name, description: changes.description })
  }

  /** Every contact list, or those of one organisation, oldest first. */
  async lists(query: { organizationId?: number } = {}): Promise<t.ContactList[]> {
    return this.#bridge.get('lists', { organization_id: query.organizationId })
  }

  /** Deletes a contact list with its contacts. Campaigns it was attached to keep theirs. */
  async deleteList(listId: number): Promise<void> {
    await this.#bridge.call('delete_list', { list_id: listId })
  }

  /** Copies the contacts of a list into a campaign of the same organisation. */
  async attachList(listId: number, campaignId: number): Promise<t.ImportReport> {
    return this.#bridge.get('attach_list', { list_id: listId, campaign_id: campaignId })
  }

  // --- suppression -------------------------------------------------------------------------------------------------------

  /** Puts numbers on the suppression list: they are not contacted any more, on any channel. */
  async suppress(entries: string | t.Suppression | (string | t.Suppression)[]): Promise<void> {
    await this.#bridge.call('suppress', { entries: numbers(entries) })
  }

  /** Takes numbers off the suppression list; returns how many were on it. */
  async unsuppress(keys: string | t.Suppression | (string | t.Suppression)[]): Promise<number> {
    return this.#bridge.get('unsuppress', { keys: numbers(keys) })
  }

  /** Entries of the suppression list, by number. */
  async suppressions(query: t.SuppressionQuery = {}): Promise<t.Page<t.SuppressionEntry>> {
    return this.#bridge.get('suppressions', { query: toEngine(query) })
  }

  /** Imports a file of numbers into the suppression list. */
  async importSuppressions(
    source: ImportSource,
    options: t.ImportOptions & { campaignId?: number; organizationId?: number; reason?: string } = {},
  ): Promise<t.ImportReport> {
    const { campaignId, organizationId, reason, ...rest } = options
    const scope = { campaign_id: campaignId ?? null, organization_id: organizationId ?? null }
    return this.#import('import_suppressions', { ...scope, reason: reason ?? 'import' }, source, rest)
  }

  /** The suppression list as CSV. */
  async exportSuppressions(): Promise<string> {
    return (await this.#bridge.call('export_suppressions', {})) as string
  }

  /** Whether a number is suppressed now, in all campaigns of an organisation when one is named, else everywhere. */
  async isSuppressed(phoneNumber: string, defaultRegion?: string, options: { organizationId?: number } = {}): Promise<boolean> {
    const key = { phone_number: phoneNumber, default_region: defaultRegion, organization_id: options.organizationId }
    return this.#bridge.get('is_suppressed', { key })
  }

  // --- what happened, why, and what would happen -------------------------------------------------------------------------

  /** The attempt history, newest first: of a campaign, or of what the query says. */
  async executions(query: number | t.ExecutionQuery = {}): Promise<t.Page<t.Execution>> {
    return this.#bridge.get('executions', { query: toEngine(typeof query === 'number' ? { campaignId: query } : query) })
  }

  /** Settled attempts of a campaign per bucket of time. */
  async timeline(campaignId: number, query: { bucketSeconds: number; from?: Date; to?: Date }): Promise<t.TimelineBucket[]> {
    return this.#bridge.get('timeline', { campaign_id: campaignId, query: toEngine(query) })
  }

  /** Adds what a provider says after the settlement (price, transcript, receipt) to an execution. */
  async amend(executionId: number, outcome: Outcome): Promise<t.Execution> {
    return this.#bridge.get('amend', { execution_id: executionId, outcome: toEngine(outcome) })
  }

  /** Why a campaign moves as it does: its contacts counted per reason. */
  async explainCampaign(campaignId: number): Promise<t.CampaignExplanation> {
    return this.#bridge.get('explain_campaign', { campaign_id: campaignId })
  }

  /** Why a contact is, or is not, being reached: the gates in order, the first that blocks, and when it opens. */
  async explain(contactId: number): Promise<t.ContactExplanation> {
    return this.#bridge.get('explain_contact', { contact_id: contactId })
  }

  /** Simulates a campaign from where it stands, on virtual time and a simulated carrier; nothing is touched. */
  async simulate(campaignId: number, options: t.SimulateOptions = {}): Promise<t.SimulationReport> {
    return this.#bridge.get('simulate', { campaign_id: campaignId, options: toEngine(options) })
  }

  /** Renders a template with the given values, free of any campaign. */
  async previewTemplate(
    template: string,
    variables: t.Data = {},
    options: { fallbackValues?: Record<string, string>; syntax?: t.TemplateSyntax } = {},
  ): Promise<string> {
    const args = { template, variables, fallback_values: options.fallbackValues ?? {}, syntax: options.syntax }
    return (await this.#bridge.call('preview_template', args)) as string
  }

  /** Renders every template of a campaign for one of its contacts. */
  async previewContact(campaignId: number, contactId: number): Promise<Record<string, string>> {
    return (await this.#bridge.call('preview_contact', { campaign_id: campaignId, contact_id: contactId })) as Record<string, string>
  }

  /** Looks for mistakes in the templates of a campaign. */
  async lintTemplate(campaignId: number, options: { sample?: number; segmentPrice?: number } = {}): Promise<t.LintReport> {
    return this.#bridge.get('lint_template', { campaign_id: campaignId, options: toEngine(options) })
  }

  /** Events of one campaign, or of all, from now on. */
  events(campaignId?: number): EventStream {
    const stream: EventStream = new EventStream(this.#bridge, ++this.#readers, campaignId, () => this.#streams.delete(stream))
    this.#streams.add(stream)
    return stream
  }

  // --- people who answer back --------------------------------------------------------------------------------------------

  /**
   * Takes a callback of the provider: hand it the request as it came in, and send back what it resolves to. Signatures cover the URL and every
   * byte of the body.
   *
   * Everything is in the answer: 2xx when the callback was taken (again, if it came twice), 400, 403 and 404 when it is none of ours, 503 when it
   * should come again.
   */
  async callback(request: t.CallbackRequest): Promise<t.CallbackResponse> {
    const { body, ...rest } = (await this.#bridge.call('callback', { request: requestForm(request) })) as Omit<t.CallbackResponse, 'body'> & { body: string }
    return { ...rest, body: Buffer.from(body, 'latin1') }
  }

  /**
   * Whether a request that is no callback comes from the dialer's provider. Ask before a WebSocket that the provider opens for the assistant is
   * accepted and handed to {@link Engine.relay}: whoever may open one speaks as the person.
   */
  async isSigned(request: t.CallbackRequest): Promise<boolean> {
    return this.#bridge.get('is_signed', { request: requestForm(request) })
  }

  /**
   * Takes a message from a person, for programs that receive messages themselves; those of callbacks come in by {@link Engine.callback}. It is
   * stored once, however often it is handed in. Opt-out words suppress the number before this resolves, mixed campaigns branch on the reply, and
   * the assistant answers if the campaign says so.
   */
  async receiveMessage(message: t.ReceivedMessage): Promise<t.Message> {
    return this.#bridge.get('receive_message', { message: toEngine(message) })
  }

  /**
   * Sends a message in a conversation, at most once. Not to people who have opted out, and by WhatsApp only within 24 hours of their last
   * message. With a `key` a call may be repeated when its answer was lost, and sends nothing twice; it must leave within `validFor` seconds.
   */
  async sendMessage(conversation: t.ConversationKey, text: string, options: { key?: string; validFor?: number } = {}): Promise<t.Message> {
    return this.#bridge.get('send_message', { message: { ...keyOf(conversation), text, key: options.key, valid_for: options.validFor } })
  }

  /** Conversations by the person's number. */
  async conversations(query: t.ConversationQuery = {}): Promise<t.Conversation[]> {
    const { after, ...rest } = query
    const place = after === undefined ? null : keyOf(after)
    return this.#bridge.get('conversations', { query: { ...(toEngine(rest) as object), after: place } })
  }

  /** The messages of a conversation, oldest first; of a call, what was said. */
  async messages(conversation: t.ConversationKey, paging: t.Paging = {}): Promise<t.Page<t.Message>> {
    return this.#bridge.get('messages', { query: { ...keyOf(conversation), ...(toEngine(paging) as object) } })
  }

  /**
   * Carries the conversation of a call whose carrier relays speech as text over a WebSocket (Twilio's ConversationRelay and the like). It ends with
   * the session or the socket, which it closes, and resolves to what was said; that is kept in the conversation and in the outcome of its attempt.
   * `begun` gets the session, by which the program takes part. Check the handshake with {@link Engine.isSigned} before.
   */
  async relay(socket: RelaySocket | RelayEnds, options: { begun?: (session: RelaySession) => void } = {}): Promise<t.Spoken[]> {
    return carry(this.#bridge, socket, options.begun)
  }

  // --- the node ----------------------------------------------------------------------------------------------------------

  /** Live nodes on the store. */
  async nodes(): Promise<t.NodeInfo[]> {
    return this.#bridge.get('nodes', {})
  }

  /** Now, by the engine's clock. */
  async now(): Promise<Date> {
    return this.#bridge.get<{ now: Date }>('now', {}).then(({ now }) => now)
  }

  /** Starts nothing new and waits for running attempts, for as long as it takes or as `patience` says; then signals are aborted. */
  async stop(options: Patience = {}): Promise<void> {
    await this.#bridge.call('stop', { patience: patience(options, Infinity) })
  }

  /** Stops at once: running attempts are left behind and recovered by the next start, as after a crash. */
  abort(): void {
    this.#closing ??= Promise.resolve()
    this.#end()
  }

  /**
   * Aborts the signals of running dials, waits a little for them to end, and closes the store. With `patience` they may go on for so many
   * seconds first. May be called more than once.
   */
  close(options: Patience = {}): Promise<void> {
    let seconds: number | null
    try {
      seconds = patience(options, 0)
    } catch (error) {
      // Nothing has begun: it can be closed again, properly.
      return Promise.reject(error as Error)
    }
    this.#closing ??= this.#bridge
      .call('close', { patience: seconds })
      .then(() => undefined)
      .finally(() => this.#end())
    return this.#closing
  }

  #end(): void {
    for (const stream of [...this.#streams]) void stream.return()
    this.#bridge.end()
  }

  async #import(method: string, args: Record<string, unknown>, source: ImportSource, options: t.ImportOptions): Promise<t.ImportReport> {
    const { onProgress, ...rest } = options
    requireFunction('onProgress', onProgress)
    const watcher = onProgress && this.#bridge.add(new Watcher(onProgress, (thrown) => this.#threw('onProgress', thrown)))
    const call = (where: Record<string, unknown>, bytes?: Uint8Array): Promise<t.ImportReport> =>
      this.#bridge.get(method, { ...args, ...where, options: toEngine(rest), watcher }, bytes)
    try {
      if (rest.rejects instanceof URL) rest.rejects = fileURLToPath(rest.rejects)
      if (typeof source === 'string') return await call({ path: source })
      if (source instanceof URL) return await call({ path: fileURLToPath(source) })
      if (source instanceof Uint8Array) return await call({}, source)
      if (Array.isArray(source)) return await call({ rows: rows(source) })
      if (typeof source === 'object' && source !== null && Symbol.asyncIterator in source) {
        return await call({ stream: this.#bridge.add(new Pieces(this.#bridge, source as AsyncIterable<Uint8Array | string>)) })
      }
      throw new InvalidError('contacts come from a path, bytes, a stream, or an array of objects', { context: { field: 'source' } })
    } finally {
      if (watcher !== undefined) this.#bridge.remove(watcher)
    }
  }

  #threw(what: string, cause: unknown): void {
    this.#tell(new UserCodeError(`\`${what}\` threw ${nameOf(cause)}`, { cause }))
  }

  #tell(error: UserCodeError): void {
    // Whoever is told of errors must not make more of them.
    try {
      const answer: unknown = this.#onError?.(error)
      if (isThenable(answer)) Promise.resolve(answer).catch(() => undefined)
    } catch {
      // As above.
    }
  }

  #complain(raised: CampaignError): void {
    const error = raised instanceof UserCodeError ? raised : new UserCodeError(raised.message, { context: raised.context, cause: raised })
    this.#tell(error)
    const id = (name: string): number | undefined => (error.context[name] === undefined ? undefined : Number(error.context[name]))
    const [campaignId, contactId, attemptId] = [id('campaign'), id('contact'), id('attempt')]
    if (campaignId === undefined || contactId === undefined || attemptId === undefined) return
    for (const stream of this.#streams) {
      if (stream.campaignId !== undefined && stream.campaignId !== campaignId) continue
      stream.push({ type: 'error', campaignId, contactId, attemptId, at: new Date(), code: error.kind, message: error.message, error })
    }
  }
}

function keyOf({ channel, ourNumber, phoneNumber }: t.ConversationKey): Record<string, unknown> {
  return { channel, our_number: ourNumber, phone_number: phoneNumber }
}

/** A request of a web framework as the native half takes it; of its body each character stands for a byte. */
function requestForm({ method, url, headers, body }: t.CallbackRequest): Record<string, unknown> {
  const pairs = Symbol.iterator in headers ? [...headers] : Object.entries(headers)
  const list = pairs.flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).filter((one) => one !== undefined).map((one) => [name, one]))
  return { method, url, headers: list, body: bytesOf(body).toString('latin1') }
}

function bytesOf(body: unknown): Buffer {
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (typeof body === 'string') return Buffer.from(body)
  // What parsers of bodies leave where there is none.
  const empty = body === undefined || body === null || (typeof body === 'object' && Object.keys(body).length === 0)
  if (empty) return Buffer.alloc(0)
  throw new InvalidError('the body must be the bytes as they came in: the signature covers every one of them', { context: { field: 'body' } })
}

function ownerOf(owner: t.Owner): Record<string, unknown> {
  return typeof owner === 'object' ? { list_id: owner.listId } : { campaign_id: owner }
}

function numbers(entries: string | t.Suppression | (string | t.Suppression)[]): unknown[] {
  return (Array.isArray(entries) ? entries : [entries]).map((entry) => (typeof entry === 'string' ? { phone_number: entry } : toEngine(entry)))
}

// JSON has no infinity; nothing means "as long as it takes".
function patience(options: Patience, otherwise: number): number | null {
  const seconds = options.patience ?? otherwise
  if (typeof seconds !== 'number' || !(seconds >= 0)) {
    throw new InvalidError('patience must be a number of seconds of at least 0', { context: { field: 'patience' } })
  }
  return seconds === Infinity ? null : seconds
}

function requireFunction(what: string, given: unknown): void {
  if (given !== undefined && typeof given !== 'function') throw new InvalidError(`${what} must be a function`, { context: { field: what } })
}

class Watcher implements Target {
  readonly #onProgress: (progress: t.ImportProgress) => void
  readonly #threw: (thrown: unknown) => void

  constructor(onProgress: (progress: t.ImportProgress) => void, threw: (thrown: unknown) => void) {
    this.#onProgress = onProgress
    this.#threw = threw
  }

  ask(): unknown {
    return null
  }

  tell(value: unknown): void {
    try {
      const answer: unknown = this.#onProgress(fromEngine(value) as t.ImportProgress)
      if (isThenable(answer)) Promise.resolve(answer).catch((thrown: unknown) => this.#threw(thrown))
    } catch (thrown) {
      this.#threw(thrown)
    }
  }
}

/** A stream, piece by piece, as the engine wants them: a file of any size passes in little memory. */
class Pieces implements Target {
  readonly #bridge: Bridge
  readonly #pieces: AsyncIterator<Uint8Array | string>
  #ended = false

  constructor(bridge: Bridge, source: AsyncIterable<Uint8Array | string>) {
    this.#bridge = bridge
    this.#pieces = source[Symbol.asyncIterator]()
  }

  async ask(_method: string, _args: unknown, id: number): Promise<unknown> {
    const { done, value } = await this.#pieces.next()
    this.#ended = done === true
    if (done !== true && typeof value !== 'string' && !(value instanceof Uint8Array)) {
      throw new InvalidError('the pieces of a stream must be bytes (Uint8Array, Buffer) or texts', { context: { field: 'source' } })
    }
    this.#bridge.piece(id, done === true ? null : typeof value === 'string' ? Buffer.from(value) : value)
    return PIECE
  }

  // An import that ends early lets go of its source, as a loop does: a file is closed, an upload is not read any further.
  drop(): void {
    if (this.#ended) return
    this.#ended = true
    try {
      Promise.resolve(this.#pieces.return?.()).catch(() => undefined)
    } catch {
      // The import has an error of its own to tell.
    }
  }
}
