/**
 * An embeddable outbound campaign engine: calls, SMS and WhatsApp, each contact once, lawfully, at an exact pace, surviving any crash.
 *
 * Start with {@link Engine.open}.
 *
 * @packageDocumentation
 */
export { Engine } from './engine'
export type { EngineOptions, ImportSource, Patience, Reexecution } from './engine'
export { SimulatedDialer } from './dialer'
export type {
  Awaitable, Capabilities, DialContext, Dialer, DialRequest, FindRequest, Found, OutboundMessage, Outcome, SimulatedDialerOptions,
} from './dialer'
export { ElevenLabsDialer, OpenAiAssistant, RoutedDialer, ScriptedAssistant, TwilioDialer, WebhookDialer } from './providers'
export type {
  AnyDialer, ElevenLabsSettings, Line, OpenAiSettings, Route, Says, Script, TwilioSettings, WebhookSettings, WhatsAppTemplate,
} from './providers'
export { RelaySession } from './assistant'
export type { AnswerContext, Assistant, Dialogue, Piece, RelayEnds, RelaySocket, ToolCall, Turn } from './assistant'
export type { Campaign, CampaignKind, ContactView, Next, Template } from './campaign'
export { Slots, copyStore, decide } from './store'
export type * from './store'
export {
  CampaignError, ClosedError, ConflictError, CorruptError, DialError, FullError, InternalError, InvalidError, NotFoundError, ProviderError,
  StaleError, StateError, TemplateError, ThrottledError, UnavailableError, UserCodeError,
} from './errors'
export type { DialErrorKind, ErrorDetails, ErrorKind } from './errors'
export { EventStream } from './events'
export type { JsonValue } from './convert'
export type * from './types'
