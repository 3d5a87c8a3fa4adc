import { isThenable, requireMethods, type Bridge, type Target } from './bridge'
import { fromEngine } from './convert'
import type { Awaitable } from './dialer'
import { InvalidError, UserCodeError } from './errors'
import { described, OpenAiAssistant, ScriptedAssistant } from './providers'
import type { Channel, Data, Spoken } from './types'

/** Something that an assistant wants done: `opt_out`, `transfer`, `end_call` or `book`. */
export interface ToolCall {
  /** Which. */
  tool: string
  /** What the tool needs to know. */
  arguments?: Data
  /** The id by which a model knows it again. */
  id?: string
}

/** A piece of an answer: a bit of text (spaces are part of it), or something to be done. */
export type Piece = string | ToolCall

/** One turn of a dialogue. */
export type Turn =
  | { role: 'person' | 'assistant'; text: string }
  | { role: 'tool'; id: string; tool: string; arguments: Data }
  | { role: 'result'; id: string; text: string }

/** Everything an assistant needs for its next turn; nothing must be looked up. */
export interface Dialogue {
  /** How the person is spoken with. */
  channel: Channel
  /** In the name of which campaign. */
  campaignId: number
  /** Its name. */
  campaignName: string
  /** Which contact. */
  contactId: number
  /** The person, in E.164. */
  phoneNumber: string
  /** Name, if known. */
  contactName: string | null
  /** Email address, if known. */
  email: string | null
  /** Company, if known. */
  company: string | null
  /** The contact's variables. */
  variables: Data
  /** The campaign's `system_prompt`, rendered; a sentence of the engine when there is none. */
  systemPrompt: string
  /** The campaign's `agenda`, rendered. */
  agenda: string | null
  /** What was said so far, oldest first. */
  turns: Turn[]
  /** What may be asked for; `parameters` is a JSON Schema. */
  tools: { name: string; description: string; parameters: Data }[]
  /** The answer is cut to so many characters; null: it is not. */
  maxCharacters: number | null
  /** Prompt, agenda and the rules of the channel as one text: what a model gets as its system message. */
  instructions: string
  /** Options of the campaign for dialers and assistants. */
  options: Data
}

/** How an answer is given up. */
export interface AnswerContext {
  /** Aborts when nobody needs the answer any more: the person speaks, or the call ends. */
  readonly signal: AbortSignal
}

/**
 * Answers people: text in, text out, piece by piece as it is made. `answer` is best an asynchronous generator; it may also return or resolve to a
 * text, a {@link ToolCall}, or an array or iterator of them.
 *
 * One call makes one turn; what it was told is all in the {@link Dialogue}. It may be given up at any moment; an iterator is `return`ed then.
 * When it throws, nothing of it is sent as a message, and the engine asks it again.
 */
export interface Assistant {
  /** Makes the next turn. */
  answer(dialogue: Dialogue, context: AnswerContext): Awaitable<Piece | Iterable<Piece> | AsyncIterable<Piece>>
}

class AssistantTarget implements Target {
  readonly #bridge: Bridge
  readonly #assistant: Assistant
  readonly #making = new Map<number, AbortController>()

  constructor(bridge: Bridge, assistant: Assistant) {
    this.#bridge = bridge
    this.#assistant = assistant
  }

  async ask(_method: string, args: unknown, id: number): Promise<unknown> {
    const controller = new AbortController()
    this.#making.set(id, controller)
    try {
      const made = await this.#assistant.answer(fromEngine(args) as Dialogue, { signal: controller.signal })
      const answer = new AnswerTarget(pieces(made), controller)
      if (!controller.signal.aborted) return this.#bridge.add(answer)
      // Nobody waits for it any more.
      answer.drop()
      return null
    } finally {
      this.#making.delete(id)
    }
  }

  abort(id: number): void {
    this.#making.get(id)?.abort()
  }
}

function pieces(made: unknown): Iterator<unknown> | AsyncIterator<unknown> {
  if (typeof made === 'string') return [made][Symbol.iterator]()
  if (typeof made === 'object' && made !== null) {
    if (Symbol.asyncIterator in made) return (made as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    if (Symbol.iterator in made) return (made as Iterable<unknown>)[Symbol.iterator]()
    if ('tool' in made) return [made][Symbol.iterator]()
  }
  throw new UserCodeError('the answer of an assistant is a text, a tool call, or an iterator of them')
}

/** An answer, piece by piece as the engine wants them. */
class AnswerTarget implements Target {
  readonly #pieces: Iterator<unknown> | AsyncIterator<unknown>
  readonly #controller: AbortController
  #ended = false

  constructor(pieces: Iterator<unknown> | AsyncIterator<unknown>, controller: AbortController) {
    this.#pieces = pieces
    this.#controller = controller
  }

  async ask(): Promise<unknown> {
    const { done, value } = await this.#pieces.next()
    this.#ended = done === true
    if (done === true) return null
    // Nothing would be taken for the end.
    if (value === null || value === undefined) throw new UserCodeError('a piece of an answer is a text or a tool call')
    return value
  }

  abort(): void {
    this.drop()
  }

  drop(): void {
    if (this.#ended) return
    this.#ended = true
    this.#controller.abort()
    try {
      Promise.resolve(this.#pieces.return?.()).catch(() => undefined)
    } catch {
      // Nobody needs it any more.
    }
  }
}

/** @internal What the native half takes as an assistant. */
export function describeAssistant(bridge: Bridge, assistant: Assistant | OpenAiAssistant | ScriptedAssistant | undefined): unknown {
  if (assistant === undefined) return null
  const configured = described(assistant)
  if (configured !== undefined) return configured
  requireMethods('assistant', assistant, ['answer'])
  return { object: bridge.add(new AssistantTarget(bridge, assistant as unknown as Assistant)) }
}

// --- the telephone -------------------------------------------------------------------------------------------------------

/** A WebSocket of whichever library: `ws`, Fastify's, that of Deno, Bun or browsers. */
export interface RelaySocket {
  /** Sends a text. */
  send(frame: string): unknown
  /** Closes it. */
  close(): unknown
  /** Listens. */
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): unknown
  /** Listens. */
  addEventListener(type: 'close', listener: () => void): unknown
}

/** The two ends of a socket whose library is none of those. */
export interface RelayEnds {
  /** What comes in. */
  frames: AsyncIterable<string | Uint8Array>
  /** Sends a text. */
  send(frame: string): unknown
}

/** The conversation of one call behind a carrier's relay, while {@link Engine.relay} carries it. */
export class RelaySession {
  readonly #command: (command: Record<string, unknown>) => void

  /** @internal */
  constructor(command: (command: Record<string, unknown>) => void) {
    this.#command = command
  }

  /** Says something, whatever the assistant does. */
  say(text: string): void {
    this.#command({ say: text })
  }

  /** Plays a sound so many times. */
  play(source: string, times = 1): void {
    this.#command({ play: { source, times } })
  }

  /** Presses keys. */
  sendDigits(digits: string): void {
    this.#command({ send_digits: digits })
  }

  /** Changes the languages that are spoken and understood. */
  language(languages: { spoken?: string; understood?: string }): void {
    this.#command({ language: languages })
  }

  /** Ends the session after what waits to be said; the carrier's next instructions get `handoff`. */
  end(handoff: Data = {}): void {
    this.#command({ end: handoff })
  }
}

/** Frames of a socket as they come in. It listens from now on, so that none is missed. */
function listening(socket: RelaySocket): AsyncIterable<unknown> {
  requireMethods('socket', socket, ['send', 'close', 'addEventListener'])
  const ready: unknown[] = []
  let closed = false
  let wake = (): void => undefined
  socket.addEventListener('message', ({ data }) => {
    ready.push(data)
    wake()
  })
  socket.addEventListener('close', () => {
    closed = true
    wake()
  })
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (ready.length > 0) yield ready.shift()
        if (closed) return
        await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}

function text(frame: unknown): string {
  if (typeof frame === 'string') return frame
  if (frame instanceof Uint8Array || frame instanceof ArrayBuffer) return new TextDecoder().decode(frame)
  throw new InvalidError('a frame is a text', { context: { field: 'frames' } })
}

/** @internal Carries a session between the engine and somebody's WebSocket. */
export async function carry(bridge: Bridge, given: RelaySocket | RelayEnds, begun: ((session: RelaySession) => void) | undefined): Promise<Spoken[]> {
  const own = typeof given === 'object' && given !== null && 'frames' in given
  const incoming = (own ? given.frames : listening(given))[Symbol.asyncIterator]()
  const problems: unknown[] = []
  let [closed, over] = [false, false]
  let sending: Promise<unknown> = Promise.resolve()
  // The shell's own half of the session: what comes out of the engine goes to the socket, in order.
  const relay = bridge.add({
    ask: () => null,
    tell(frame) {
      sending = sending.then(() => given.send(frame as string)).catch((problem: unknown) => {
        // What is said into a closed socket is heard by nobody, and nobody's fault.
        if (!closed) problems.push(problem)
        command()
      })
    },
  })
  const command = (command?: Record<string, unknown>): void => {
    if (!over) bridge.command(relay, command)
  }
  const read = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await incoming.next()
      if (done === true) return
      command({ receive: text(value) })
    }
  }
  try {
    const first = await incoming.next()
    // The socket closed before it said anything.
    if (first.done === true) return []
    const carried = bridge.get<Spoken[]>('relay', { relay, setup: text(first.value) })
    const failed = (problem: unknown): void => void problems.push(problem)
    // When the socket is closed the session ends, and what was said is kept.
    const reading = read().catch(failed).finally(() => {
      closed = true
      command()
    })
    reading.catch(failed)
    try {
      begun?.(new RelaySession(command))
    } catch (problem) {
      failed(problem)
      command()
    }
    const spoken = await carried.finally(() => (over = true))
    await sending
    if (problems.length > 0) throw problems[0]
    return spoken
  } finally {
    bridge.remove(relay)
    const left: unknown = incoming.return?.()
    if (isThenable(left)) Promise.resolve(left).catch(() => undefined)
    if (!own) given.close()
  }
}
