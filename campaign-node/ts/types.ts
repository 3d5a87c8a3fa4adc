// The records and arguments that users see. Moments are `Date`s, money is a number of units, times are seconds unless a name says otherwise.

import type { JsonValue } from './convert'

/** Data of the user's: the engine passes it on and does not look at it. */
export type Data = { [name: string]: JsonValue }

/** How a person is reached. */
export type Channel = 'call' | 'sms' | 'whatsapp'
/** Which kind of campaign; any other text names a kind registered with {@link EngineOptions.campaigns}. */
export type CampaignType = 'call' | 'sms' | 'whatsapp' | 'mixed' | (string & {})
/** Where a campaign stands. */
export type CampaignStatus = 'draft' | 'scheduled' | 'running' | 'paused' | 'completed' | 'cancelled' | 'failed'
/** Where a contact stands. `pending` and `in_progress` are open, all others are terminal. */
export type ContactStatus =
  | 'pending' | 'in_progress' | 'completed' | 'failed' | 'no_answer' | 'busy' | 'voicemail' | 'skipped' | 'cancelled'
/** How an attempt ended. */
export type Disposition =
  | 'answered' | 'voicemail' | 'busy' | 'no_answer' | 'rejected' | 'sent' | 'delivered' | 'undeliverable' | 'opted_out' | 'failed'
  | 'cancelled' | 'in_doubt'
/** Where an attempt stands. */
export type AttemptState = 'claimed' | 'placed' | 'settled' | 'refused'
/** A day of the week. */
export type Weekday = 'monday' | 'tuesday' | 'wednesday' | 'thursday' | 'friday' | 'saturday' | 'sunday'
/** How templates are written: `{{ name|title_case }}` or `{customer_name}`. */
export type TemplateSyntax = 'jinja' | 'brace'
/** How the delay grows from retry to retry. */
export type Backoff = 'fixed' | 'linear' | 'exponential'

/** A part of the week in which people may be contacted. */
export interface TimeWindow {
  /** `HH:MM`. */
  start: string
  /** `HH:MM`, exclusive. */
  end: string
  /** Empty or left out: every day. */
  days?: Weekday[]
}

/** When people may be contacted. */
export interface CallingWindows {
  /** Open when any of these is. Empty: always, but for holidays. */
  allowed?: TimeWindow[]
  /** Whose clock: the contact's (default) or the campaign's. */
  zone?: 'contact' | 'campaign'
  /** Closed days: `YYYY-MM-DD`, or `MM-DD` for every year. */
  holidays?: { date: string; name?: string | null }[]
  /** Do not contact people whose time zone is not known. Default false. */
  requireKnownZone?: boolean
}

/** What one way of ending means for the next attempt. */
export interface OutcomeRule {
  /** Whether to try again at all. Default true. */
  retry?: boolean
  /** How many attempts may end this way before it is final, 1 to 10. */
  maxAttempts?: number | null
  /** Minutes to wait, 1 to 43200. */
  delayMinutes?: number | null
  /** How the delay grows. */
  backoff?: Backoff | null
}

/** When and how often to try again. */
export interface RetryPolicy {
  /** Rules per disposition. */
  rules?: Partial<Record<Disposition, OutcomeRule>>
  /** How delays grow where a rule does not say. Default `fixed`. */
  backoff?: Backoff
  /** Backoff and jitter make no delay longer. Default 1440 minutes. */
  maxDelayMinutes?: number
  /** Delays vary by so many percent either way, at most 50. Default 0. */
  jitterPercent?: number
  /** Spread retries over different times of the day. Default false. */
  spreadOverDay?: boolean
}

/** One step of a mixed campaign. */
export interface Step {
  /** The channel. */
  channel: Channel
  /** The template of a message; `sms_message` if not said. */
  template?: string | null
  /** Minutes after the end of the last step. Default 0. */
  delayMinutes?: number
  /** Instead of a delay: the next day at this time (`HH:MM`), on the contact's clock. */
  nextDayAt?: string | null
  /** When it is carried out; otherwise it is passed over. */
  when?: {
    /** The previous step ended in one of these ways. */
    previous?: Disposition[]
    /** The person has, or has not, answered back. */
    replied?: boolean | null
  }
  /** Attempts for this step, 1 to 10. */
  maxAttempts?: number | null
}

/** A number or sender with limits of its own. */
export interface CallerId {
  /** The number or sender name. */
  number: string
  /** Attempts at once. */
  concurrentLimit?: number | null
  /** Starts in any 60 s. */
  rateLimitPerMinute?: number | null
  /** Starts per day. */
  callsPerDay?: number | null
}

/** When a campaign starts again and again. */
export interface Recurrence {
  /** Default `daily`. */
  frequency?: 'daily' | 'weekly' | 'monthly'
  /** Every so many days, weeks or months. Default 1. */
  interval?: number
  /** 1 is Monday, 7 is Sunday. */
  daysOfWeek?: number[]
  /** 1 to 31. */
  dayOfMonth?: number | null
  /** `HH:MM`. Default `09:00`. */
  time?: string
  /** IANA zone of `time`. Default `UTC`. */
  timeZone?: string
  /** First day, `YYYY-MM-DD`. */
  startDate?: string | null
  /** Last day, `YYYY-MM-DD`, inclusive. */
  endDate?: string | null
  /** At most so many occurrences. */
  count?: number | null
  /** An RFC 5545 rule instead of the plain fields. */
  rrule?: string | null
}

/** When a campaign starts. */
export interface Schedule {
  /** How. */
  scheduleType: 'immediate' | 'once' | 'scheduled' | 'recurring'
  /** For `once`: the moment, or a local time without an offset that is read in `timezone`. */
  scheduledAt?: Date | string | null
  /** IANA zone. Default `UTC`. */
  timezone?: string
  /** For `recurring`: the rule. */
  recurringConfig?: Recurrence | null
  /** What to do when the moment has passed. */
  pastDue?: string
}

/** What a campaign does when people answer back. */
export interface Replies {
  /** The assistant answers messages. Default false: they are stored and told to watchers. */
  assistant?: boolean
  /** What opting out covers. Default `everything`. */
  optOutScope?: 'everything' | 'campaign'
  /** The confirmation of an opt-out. Default: a sentence of the engine. Empty: none. */
  optOutConfirmation?: string | null
  /** The answer to HELP. Default: the campaign's name and how to opt out. Empty: none. */
  helpMessage?: string | null
  /** Calls that are returned. Default `decline`. */
  returnedCalls?: 'decline' | 'assistant' | { forward: string }
}

/** What a campaign is made from. Whatever is left out has the engine's default. */
export interface CampaignSpec {
  /** 1 to 200 characters. */
  name: string
  /** Free text. */
  description?: string | null
  /** The kind. Default `call`. Cannot be changed after the draft. */
  campaignType?: CampaignType
  /** The organisation it belongs to, at least 1. Default: none, the program's own. Cannot be changed. */
  organizationId?: number | null
  /** The assistant that talks, handed to the dialer. */
  assistantId?: number | null
  /** Its name, the variable `assistant_name`. */
  assistantName?: string | null
  /** Template: the first sentence of a call. */
  welcomeMessageTemplate?: string | null
  /** Template: what the call is about. */
  agendaTemplate?: string | null
  /** Template: the last sentence of a call. */
  endCallMessageTemplate?: string | null
  /** Template: the text of a message. */
  smsMessageTemplate?: string | null
  /** Templates by name: `welcome_message`, `agenda`, `end_call_message`, `sms_message`, `voicemail_message`, `system_prompt`, any other. */
  templates?: Record<string, string>
  /** How templates are written. Default `jinja`. */
  templateSyntax?: TemplateSyntax
  /** What a variable without a value renders to. */
  fallbackValues?: Record<string, string>
  /** Column to field of the last import. */
  variableMappings?: Record<string, string>
  /** Variables known to exist. */
  availableVariables?: string[]
  /** Steps of a mixed campaign, 1 to 20. */
  steps?: Step[]
  /** Attempts per contact, 1 to 10. Default 3. */
  maxAttempts?: number
  /** Minutes between attempts, 1 to 43200. Default 30. */
  retryDelayMinutes?: number
  /** Finer rules for retries. */
  retry?: RetryPolicy
  /** Attempts at once. Default 5; `'unlimited'`: no limit of its own. */
  concurrentLimit?: number | 'unlimited' | null
  /** Starts in any 60 s. Default 10; `'unlimited'`: no limit of its own. */
  rateLimitPerMinute?: number | 'unlimited' | null
  /** Starts per day in `timeZone`. */
  callsPerDay?: number | null
  /** Who goes first when the engine-wide cap is short. Default `medium`. */
  priority?: 'low' | 'medium' | 'high'
  /** IANA zone. Default `UTC`. */
  timeZone?: string
  /** When people may be contacted: a window or several. */
  allowedHours?: TimeWindow | TimeWindow[]
  /** The same with everything that windows can say. */
  windows?: CallingWindows
  /** When it starts. */
  schedule?: Schedule
  /** No attempt starts after this moment. */
  deadline?: Date | null
  /** Only contacts with consent for the channel. Default false. */
  consentRequired?: boolean
  /** At most `max` attempts at a person within `hours`, over all campaigns. */
  frequencyCaps?: { max: number; hours: number; channels?: Channel[] }[]
  /** Money to spend. */
  budget?: number | null
  /** What one attempt is reckoned to cost until its price is known. */
  costPerAttempt?: number
  /** Percent of the budget at which an event is sent. Default 80. */
  budgetThresholdPercent?: number
  /** Numbers to send from, taken in turn. */
  callerIds?: CallerId[]
  /** Voicemail detection, and the message to leave. */
  voicemail?: { enableVoicemailDetection?: boolean; leaveVoicemail?: boolean; voicemailMessage?: string | null }
  /** What happens when people answer back. */
  replies?: Replies
  /** Seconds to let it ring, 1 to 600. Default 30. */
  ringTimeoutSeconds?: number
  /** Longest call in seconds, 1 to 86400. Default 900. */
  maxDurationSeconds?: number
  /** Anything for the dialer. */
  dialerOptions?: Data
  /** Anything of your program's. */
  metadata?: Data
}

/** Changes of a campaign: what is given replaces, `null` resets to the default. */
export type CampaignChanges = { [Field in keyof CampaignSpec]?: CampaignSpec[Field] | null }

/** A stored campaign. */
export interface CampaignRecord extends Omit<Required<CampaignSpec>, 'concurrentLimit' | 'rateLimitPerMinute' | 'allowedHours' | 'windows' | 'retry'> {
  /** Its id. */
  id: number
  /** Where it stands. */
  status: CampaignStatus
  /** Why, as a code. */
  reason: string | null
  /** Why, in a sentence. */
  reasonText: string | null
  /** The current run, from 1. */
  run: number
  /** When the next occurrence starts. */
  nextStart: Date | null
  /** Attempts at once; null: no limit of its own. */
  concurrentLimit: number | null
  /** Starts in any 60 s; null: no limit of its own. */
  rateLimitPerMinute: number | null
  /** The calling windows. */
  allowedHours: Required<TimeWindow>[]
  /** The same, with zone and holidays. */
  windows: Required<CallingWindows>
  /** Rules for retries. */
  retry: Required<RetryPolicy>
  /** Grows with every edit. */
  specVersion: number
  /** Grows with every change. */
  revision: number
  /** Name of the last imported file. */
  lastImportFileName: string | null
  /** When it was imported. */
  lastImportDate: Date | null
  /** How many rows it had. */
  lastImportRowCount: number | null
  /** When it was created. */
  createdAt: Date
  /** When it was last changed. */
  updatedAt: Date
  /** When the current run started. */
  startedAt: Date | null
  /** When it ended. */
  completedAt: Date | null
  /** Contacts; only where one campaign was asked for. */
  totalContacts?: number
  /** Reached; only where one campaign was asked for. */
  completedContacts?: number
  /** Failed; only where one campaign was asked for. */
  failedContacts?: number
}

/** One page of a listing. */
export interface Page<T> {
  /** What is on it. */
  items: T[]
  /** How many there are in all pages. */
  total: number
}

/** Which part of a listing: `page` (from 1) with `perPage`, or `offset` with `limit`. Default: the first 50. */
export interface Paging {
  /** From 1. */
  page?: number
  /** At most 10,000. */
  perPage?: number
  /** How many to leave out. */
  offset?: number
  /** How many to return, at most 10,000. */
  limit?: number
}

/** Which campaigns. */
export interface CampaignQuery extends Paging {
  /** With one of these. */
  status?: CampaignStatus | CampaignStatus[]
  /** Of this kind. */
  campaignType?: CampaignType
  /** Of this organisation. */
  organizationId?: number
  /** With this assistant. */
  assistantId?: number
  /** Whose name or description contains this. */
  search?: string
}

/** A campaign by its id, or a contact list. */
export type Owner = number | { listId: number }

/** Consent of a person. */
export interface Consent {
  /** When it was given. */
  givenAt: Date
  /** Where the proof lies. */
  source?: string
  /** Channels it covers; none: all. */
  channels?: Channel[]
}

/** A stored contact. */
export interface Contact {
  /** Its id. */
  id: number
  /** Its campaign, or null for one of a contact list. */
  campaignId: number | null
  /** Its contact list, or null. */
  listId: number | null
  /** In E.164. */
  phoneNumber: string
  /** Full name. */
  name: string | null
  /** Email address. */
  email: string | null
  /** Company. */
  company: string | null
  /** IANA zones the person may be in. */
  timeZones: string[]
  /** Every other column of the import. */
  variables: Data
  /** Consent, when known. */
  consent: Consent | null
  /** How it came in. */
  source: string
  /** Where it stands. */
  status: ContactStatus
  /** Why, as a code. */
  reason: string | null
  /** Why, in a sentence. */
  reasonText: string | null
  /** The sentence again, for those that were not reached. */
  errorMessage: string | null
  /** The run it was last part of. */
  run: number
  /** Attempts consumed in this run. */
  attempts: number
  /** Calls among them. */
  callAttempts: number
  /** When it is due; null for terminal ones. */
  dueAt: Date | null
  /** The planned step, from 0. */
  step: number | null
  /** The channel of that step. */
  channel: Channel | null
  /** How the last attempt ended. */
  lastDisposition: Disposition | null
  /** When it was handed over. */
  lastAttemptAt: Date | null
  /** When the person last answered back. */
  repliedAt: Date | null
  /** When it became terminal. */
  completedAt: Date | null
  /** Seconds talked. */
  callDuration: number
  /** What the attempts cost. */
  cost: number
  /** When it was added. */
  createdAt: Date
}

/** Which contacts. */
export interface ContactQuery extends Paging {
  /** With one of these. */
  status?: ContactStatus | ContactStatus[]
  /** Whose name, email or number contains this. */
  search?: string
  /** Only ids above this one, for walking through a long list. */
  after?: number
  /** Whether the total is wanted. Default true. */
  count?: boolean
}

/** One attempt. */
export interface Execution {
  /** Its id. */
  id: number
  /** The same. */
  executionId: number
  /** The campaign. */
  campaignId: number
  /** The contact. */
  contactId: number
  /** The run. */
  run: number
  /** Which attempt of the run it is, from 1. */
  attemptNumber: number
  /** The channel. */
  channel: Channel
  /** The step, from 0. */
  step: number
  /** What it came to, as a status of a contact. */
  status: ContactStatus
  /** Where it stands. */
  state: AttemptState
  /** How it ended. */
  disposition: Disposition | null
  /** The provider's reference of a call. */
  callId: string | null
  /** The provider's reference of a message. */
  smsId: string | null
  /** The provider's reference. */
  providerRef: string | null
  /** The idempotency key. */
  key: string
  /** The caller id or sender. */
  fromNumber: string | null
  /** The version of the campaign it ran under. */
  specVersion: number
  /** When the intent was written. */
  claimedAt: Date
  /** When it was handed over. */
  executedAt: Date | null
  /** When it was settled. */
  finishedAt: Date | null
  /** Seconds talked. */
  durationSeconds: number | null
  /** What it cost. */
  cost: number | null
  /** What the dialer says about it. */
  errorDetails: string | null
  /** Why what follows follows. */
  retryReason: string | null
  /** Whatever else the dialer gave. */
  data: Data
}

/** Which executions. */
export interface ExecutionQuery extends Paging {
  /** Of this campaign. */
  campaignId?: number
  /** Of this contact. */
  contactId?: number
  /** Of this run. */
  run?: number
  /** This one. */
  id?: number
  /** With this reference. */
  providerRef?: string
  /** That came to one of these. */
  status?: ContactStatus | ContactStatus[]
  /** That ended in one of these ways. */
  disposition?: Disposition | Disposition[]
  /** Only those that go on. */
  openOnly?: boolean
  /** Only ids below this one. */
  before?: number
  /** Whether the total is wanted. Default true. */
  count?: boolean
}

/** The counters of a campaign. Percentages have two decimals. */
export interface Progress {
  /** The campaign. */
  campaignId: number
  /** Its status. */
  status: CampaignStatus
  /** The current run. */
  run: number
  /** All contacts that are neither skipped nor cancelled. */
  totalContacts: number
  /** Reached. */
  completedContacts: number
  /** Failed, no answer, busy and voicemail together. */
  failedContacts: number
  /** Waiting. */
  pendingContacts: number
  /** Being contacted. */
  inProgressContacts: number
  /** Of the failed: not answered. */
  noAnswerContacts: number
  /** Of the failed: busy. */
  busyContacts: number
  /** Of the failed: voicemail. */
  voicemailContacts: number
  /** Ruled out by a gate. */
  skippedContacts: number
  /** Given up when the campaign was cancelled. */
  cancelledContacts: number
  /** `100 (completed + failed) / total`. */
  completionPercentage: number
  /** The same figure. */
  completionRate: number
  /** `100 completed / (completed + failed)`. */
  successRate: number
  /** `100 answered calls / call attempts`. */
  answerRate: number
  /** Seconds talked in all. */
  totalDurationSeconds: number
  /** Seconds talked per completed contact. */
  averageDuration: number
  /** Money spent. */
  totalCost: number
  /** When it started. */
  startedAt: Date | null
  /** When it ended. */
  completedAt: Date | null
  /** When it will probably end. */
  estimatedCompletion: Date | null
}

/** What every event has. */
export interface EventBase {
  /** The campaign. */
  campaignId: number
  /** When it happened. */
  at: Date
  /** The contact, where the event is about one. */
  contactId?: number
  /** The attempt, where the event is about one. */
  attemptId?: number
}

/** How an attempt ended, for watchers. */
export interface ContactEnded extends EventBase {
  /** The contact. */
  contactId: number
  /** The attempt. */
  attemptId: number
  /** The channel. */
  channel: Channel
  /** How it ended. */
  disposition: Disposition
  /** Where the contact stands now. */
  status: ContactStatus
  /** Seconds talked. */
  durationSeconds: number
  /** What it cost. */
  cost: number
}

/** What a campaign tells its watchers. Events carry ids, never a number or a text of a message. */
export type CampaignEvent =
  | (EventBase & { type: 'progress' } & Progress)
  | (EventBase & { type: 'contact_started'; contactId: number; attemptId: number; channel: Channel })
  | (ContactEnded & { type: 'contact_completed' })
  | (ContactEnded & { type: 'contact_failed' })
  | (EventBase & { type: 'contact_progress'; contactId: number; attemptId: number; stage: string })
  | (EventBase & { type: 'status_changed'; from: CampaignStatus; to: CampaignStatus })
  | (EventBase & { type: 'campaign_completed'; run: number })
  | (EventBase & { type: 'budget_threshold'; percent: number; spent: number; budget: number })
  | (EventBase & { type: 'message_received'; contactId: number | null; channel: Channel; messageId: string })
  | (EventBase & { type: 'message_sent'; contactId: number | null; channel: Channel; messageId: string })
  | (EventBase & { type: 'opted_out'; contactId: number | null })
  | (EventBase & { type: 'tool_used'; contactId: number; channel: Channel; tool: string })
  | (EventBase & { type: 'error'; code: string; message: string; error?: Error })
  | (EventBase & { type: 'missed'; count: number })

/** How a file is read. */
export interface ImportOptions {
  /** Found by looking when not given. */
  format?: 'csv' | 'tsv' | 'json' | 'json_lines' | 'xlsx' | 'xls' | 'ods'
  /** Two-letter country of national numbers, for example `US`. */
  defaultRegion?: string
  /** Header to field or variable; an empty text ignores the column. */
  columnMappings?: Record<string, string>
  /** What to do with numbers that are there already. Default `skip`. */
  duplicates?: 'skip' | 'update_variables'
  /** The name for the report. */
  fileName?: string
  /** A file (its path) that rejected rows are written to, each with its reason, to be repaired and imported again. */
  rejects?: string | URL
  /** How many rejected rows the report keeps. Default 100. */
  maxErrors?: number
  /** The separator. */
  delimiter?: string
  /** The encoding, for example `windows-1252`. */
  encoding?: string
  /** The sheet by name. */
  sheet?: string
  /** The moment a bare "yes" in a consent column counts from. Default: now. */
  consentMoment?: Date
  /** Contacts that nobody has tried to reach are removed first. Default false. */
  replaceUntouched?: boolean
  /** Called after every batch of rows. */
  onProgress?: (progress: ImportProgress) => void
}

/** How far an import is. */
export interface ImportProgress {
  /** Bytes read so far. */
  bytesRead: number
  /** Size of the source, when it is known. */
  totalBytes: number | null
  /** Rows read so far. */
  rows: number
}

/** What became of a file. */
export interface ImportReport {
  /** Contacts stored. */
  imported: number
  /** Contacts whose data was updated. */
  updated: number
  /** Rows whose number was there already. */
  duplicates: number
  /** Rows rejected. */
  invalid: number
  /** Stored as skipped, because the number is suppressed. */
  suppressed: number
  /** Rows read. */
  total: number
  /** The first rejected rows. */
  errors: { line: number; column?: string; code: string; reason: string }[]
  /** Whether there were more. */
  errorsTruncated: boolean
  /** What each column became. */
  mapping: { columns: { header: string; field: string | null; variable: string | null; confidence: number; why: string }[] }
  /** The name of the file. */
  fileName?: string
  /** The format found. */
  format?: string
  /** The encoding found. */
  encoding?: string
  /** The separator found. */
  delimiter?: string
  /** The sheet read. */
  sheet?: string
}

/** A contact to be added: the keys are what a file would have as headers, for example `phoneNumber` (or `phone_number`) and `name`. */
export type ContactRow = Record<string, unknown>

/** A contact list. */
export interface ContactList {
  /** Its id. */
  id: number
  /** Its name. */
  name: string
  /** Free text. */
  description: string | null
  /** The organisation it belongs to; null: the program's own. */
  organizationId: number | null
  /** When it was created. */
  createdAt: Date
}

/** A person who must not be contacted. */
export interface Suppression {
  /** The number, as people write it. */
  phoneNumber: string
  /** Country of a national number. */
  defaultRegion?: string
  /** Only this campaign; left out: everything. */
  campaignId?: number | null
  /** Every campaign of this organisation; left out: everything. */
  organizationId?: number | null
  /** Why. */
  reason?: string
  /** Where it came from. */
  source?: string | null
  /** When it ends; left out: never. */
  expiresAt?: Date | null
}

/** An entry of the suppression list. */
export interface SuppressionEntry {
  /** In E.164. */
  phoneNumber: string
  /** Its campaign, when it covers one. */
  campaignId: number | null
  /** Its organisation, when it covers one; null in both: everything. */
  organizationId: number | null
  /** Why. */
  reason: string
  /** Where it came from. */
  source: string | null
  /** When it was added. */
  createdAt: Date
  /** When it ends. */
  expiresAt: Date | null
}

/** Which suppressions. */
export interface SuppressionQuery extends Paging {
  /** Of this number. */
  phoneNumber?: string
  /** Country of a national number. */
  defaultRegion?: string
  /** Only those of this campaign. */
  campaignId?: number
  /** Only those that cover the whole of this organisation. */
  organizationId?: number
}

/** What a gate says. */
export interface GateReport {
  /** Which gate. */
  gate: string
  /** What it says. */
  verdict: 'allow' | 'not_before' | 'never'
  /** The earliest moment it may open. */
  until?: Date | null
  /** Why. */
  reason?: { code: string; text: string }
}

/** Why a contact is, or is not, being reached. */
export interface ContactExplanation {
  /** The contact. */
  contactId: number
  /** Where it stands. */
  status: ContactStatus
  /** Why, as a code. */
  reason: string | null
  /** Why, in a sentence. */
  reasonText: string | null
  /** Every gate in order, for a pending contact. */
  gates: GateReport[]
  /** The first gate that blocks. */
  blockedBy: string | null
  /** The earliest moment an attempt may start. */
  earliest: Date | null
  /** The whole in one sentence. */
  text: string
}

/** Why a campaign moves as it does. */
export interface CampaignExplanation {
  /** The campaign. */
  campaignId: number
  /** Where it stands. */
  status: CampaignStatus
  /** Why, as a code. */
  reason: string | null
  /** Why, in a sentence. */
  reasonText: string | null
  /** Contacts per reason, most first. */
  reasons: { status: ContactStatus; code: string; opensAt: Date | null; contacts: number }[]
  /** When the next attempt may start. */
  earliest: Date | null
  /** The whole in one sentence. */
  text: string
}

/** A carrier in numbers: `default`, `instant`, `troubled`, or fields that differ from the default. */
export type CarrierProfile = 'default' | 'instant' | 'troubled' | { [field: string]: JsonValue }

/** How to simulate. */
export interface SimulateOptions {
  /** How the carrier and the people behave. */
  profile?: CarrierProfile
  /** The same seed gives the same report. */
  seed?: number
  /** When it begins. Default: now. */
  start?: Date
  /** Days after which it is given up. Default 400. */
  maxDays?: number
}

/** What would happen. */
export interface SimulationReport {
  /** When it would begin. */
  startedAt: Date
  /** When the last contact would be terminal. */
  finishedAt: Date | null
  /** The counters at the end. */
  progress: Progress
  /** Attempts handed over. */
  attempts: number
  /** Attempts per hour, by the beginning of the hour. */
  attemptsPerHour: Record<string, number>
  /** Most attempts at once. */
  peakConcurrency: number
  /** What it would cost, with a band for 19 of 20 campaigns. */
  cost: { low: number; expected: number; high: number }
  /** Contacts that are not reached, by reason. */
  unreachable: { code: string; contacts: number; terminal: boolean }[]
}

/** What lint found. */
export interface LintReport {
  /** Whether nothing stands in the way of sending. */
  ok: boolean
  /** The findings, worst first. */
  findings: {
    severity: 'info' | 'warning' | 'error'
    code: string
    template: string | null
    line: number | null
    column: number | null
    message: string
  }[]
  /** The longest message of each SMS template. */
  messages: {
    template: string
    contact: number | null
    characters: number
    encoding: string
    units: number
    segments: number
    cost: number | null
    forcedBy: string[]
    totalSegments: number
    totalCost: number | null
  }[]
}

/** Settled attempts of one part of time. */
export interface TimelineBucket {
  /** When it begins. */
  start: Date
  /** Attempts by disposition. */
  dispositions: Partial<Record<Disposition, number>>
  /** Seconds talked. */
  durationSeconds: number
  /** Money spent. */
  cost: number
}

/** A request of a provider, as a web framework got it. */
export interface CallbackRequest {
  /** For example `POST`. */
  method: string
  /** The whole URL, or path and query. */
  url: string
  /** Names in any case. Those of Node.js, of a `Headers`, or pairs. */
  headers: Record<string, string | readonly string[] | undefined> | Iterable<readonly [string, string]>
  /** The body as it came in, not parsed. */
  body?: Uint8Array | string | object | null | undefined
}

/** What a provider gets back: send it as it is. */
export interface CallbackResponse {
  /** The status. */
  status: number
  /** The headers. */
  headers: Record<string, string>
  /** The body. */
  body: Uint8Array<ArrayBuffer>
}

/** Which conversation: between one person and one number (or sender) of ours, on one channel. */
export interface ConversationKey {
  /** The channel. */
  channel: Channel
  /** Our number or sender. */
  ourNumber: string
  /** The person, in E.164. */
  phoneNumber: string
}

/** A conversation as a whole. It outlives campaigns. */
export interface Conversation extends ConversationKey {
  /** When the person last wrote. WhatsApp allows free text for 24 hours from then. */
  lastInboundAt: Date | null
  /** When we last wrote. */
  lastOutboundAt: Date | null
  /** The campaign that last wrote here. */
  campaignId: number | null
  /** Its contact. */
  contactId: number | null
  /** When the person opted out here, unless they opted in again later. */
  optedOutAt: Date | null
}

/** Which conversations. */
export interface ConversationQuery {
  /** With this person. */
  phoneNumber?: string
  /** On this channel. */
  channel?: Channel
  /** In which this campaign wrote last. */
  campaignId?: number
  /** Only those behind this one. */
  after?: ConversationKey
  /** At most so many, 1 to 1000. Default 50. */
  limit?: number
}

/** What a message asks for by itself. */
export type Keyword = 'opt_out' | 'opt_in' | 'help'
/** Which way a message went. */
export type Direction = 'inbound' | 'outbound'
/** Who wrote a message; `engine` is a confirmation. */
export type Author = 'person' | 'campaign' | 'assistant' | 'engine' | 'program'
/** How far a message got; what is in doubt is never sent again. */
export type MessageState = 'done' | 'in_doubt' | 'failed'

/** One message of a conversation. */
export interface Message {
  /** The provider's id, or our own key while the provider has not named one. */
  id: string
  /** Which way it went. */
  direction: Direction
  /** Who wrote it. */
  author: Author
  /** When it came in or was handed over. */
  at: Date
  /** The text. */
  text: string
  /** Addresses of pictures and the like. */
  media: string[]
  /** What it asks for by itself. */
  keyword: Keyword | null
  /** The campaign it belongs to. */
  campaignId: number | null
  /** Its contact. */
  contactId: number | null
  /** How far it got. */
  state: MessageState
  /** What the assistant wanted done; such an entry has no text and was sent to nobody. */
  tool: { name: string; arguments: Data } | null
}

/** A message from a person, for {@link Engine.receiveMessage}. */
export interface ReceivedMessage {
  /** The provider's id; the same message twice is one. */
  id: string
  /** SMS or WhatsApp. */
  channel: 'sms' | 'whatsapp'
  /** Who wrote. */
  phoneNumber: string
  /** Our number or sender. */
  ourNumber: string
  /** The text. */
  text?: string
  /** Addresses of pictures and the like. */
  media?: string[]
  /** What the carrier itself took it for; goes before our own reading. */
  keyword?: Keyword | null
  /** Whether the carrier has answered the keyword already. */
  confirmedByCarrier?: boolean
  /** Anything else. */
  data?: Data
}

/** Something that was said, or asked for, in a call. */
export interface Spoken {
  /** By whom. */
  author: Author
  /** When it began. */
  at: Date
  /** What. */
  text: string
  /** What the assistant asked for; then there is no text. */
  tool: { name: string; arguments: Data } | null
}

/** A live node. */
export interface NodeInfo {
  /** Its id. */
  id: number
  /** Its name. */
  name: string
  /** When it registered. */
  startedAt: Date
  /** When its lease runs out. */
  expiresAt: Date
  /** Open attempts it holds. */
  inFlight: number
}
