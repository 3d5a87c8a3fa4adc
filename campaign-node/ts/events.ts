import type { Bridge } from './bridge'
import type { CampaignEvent } from './types'

// Errors of user code that are kept for a stream until somebody reads it.
const MOST_KEPT = 1000

/**
 * Events as they happen. Iterate it, or take it as a web stream. The events of one campaign end after the campaign has ended; those of all
 * end with the engine. A reader that is too slow is told how many events it missed.
 */
export class EventStream implements AsyncIterableIterator<CampaignEvent> {
  /** The campaign that it is about; undefined: all. */
  readonly campaignId: number | undefined
  readonly #bridge: Bridge
  readonly #reader: number
  readonly #opened: Promise<unknown>
  readonly #ready: CampaignEvent[] = []
  readonly #waiting: { resolve(result: IteratorResult<CampaignEvent>): void; reject(error: unknown): void }[] = []
  readonly #ended: () => void
  #reading = false
  #done = false
  #missed = 0

  /** @internal */
  constructor(bridge: Bridge, reader: number, campaignId: number | undefined, ended: () => void) {
    this.campaignId = campaignId
    this.#bridge = bridge
    this.#reader = reader
    this.#ended = ended
    // Opened at once, so that nothing is missed between this call and the first step of a loop.
    this.#opened = bridge.first('events', { reader, campaign_id: campaignId ?? null })
    this.#opened.catch(() => undefined)
  }

  /** The next event. */
  next(): Promise<IteratorResult<CampaignEvent>> {
    const event = this.#shift()
    if (event !== undefined) return Promise.resolve({ done: false, value: event })
    if (this.#done) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      void this.#read()
    })
  }

  /** Stops listening. A loop that is left with `break` does it by itself. */
  return(): Promise<IteratorResult<CampaignEvent>> {
    this.#finish()
    return Promise.resolve({ done: true, value: undefined })
  }

  /** The stream itself: it can be iterated once. */
  [Symbol.asyncIterator](): this {
    return this
  }

  /** As a web stream; cancelling it stops listening. */
  toReadableStream(): ReadableStream<CampaignEvent> {
    return new ReadableStream<CampaignEvent>(
      {
        pull: async (controller) => {
          const { done, value } = await this.next()
          if (done) controller.close()
          else controller.enqueue(value)
        },
        cancel: () => this.#finish(),
      },
      { highWaterMark: 0 },
    )
  }

  /** @internal Something that happened in the shell. */
  push(event: CampaignEvent): void {
    if (this.#done) return
    // A stream that nobody reads must not fill the memory.
    if (this.#ready.length >= MOST_KEPT) {
      this.#missed++
      return
    }
    this.#ready.push(event)
    this.#serve()
  }

  #shift(): CampaignEvent | undefined {
    const event = this.#ready[0]
    if (event === undefined || this.#missed === 0) return this.#ready.shift()
    const count = this.#missed
    this.#missed = 0
    return { type: 'missed', campaignId: event.campaignId, at: new Date(), count }
  }

  async #read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      await this.#opened
      while (this.#waiting.length > 0 && !this.#done) {
        // Whoever listens to one campaign waits for its end; whoever listens to all only listens.
        const waits = this.campaignId !== undefined
        const events = await this.#bridge.get<CampaignEvent[]>('next_events', { reader: this.#reader }, undefined, waits)
        if (events.length === 0) this.#finish()
        this.#ready.push(...events)
        this.#serve()
      }
    } catch (error) {
      const waiting = this.#waiting.splice(0)
      this.#finish()
      waiting.shift()?.reject(error)
      for (const other of waiting) other.resolve({ done: true, value: undefined })
    } finally {
      this.#reading = false
    }
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const value = this.#shift()
      if (value === undefined) break
      this.#waiting.shift()?.resolve({ done: false, value })
    }
  }

  #finish(): void {
    if (this.#done) return
    this.#done = true
    this.#ended()
    for (const waiting of this.#waiting.splice(0)) waiting.resolve({ done: true, value: undefined })
    this.#bridge.call('end_events', { reader: this.#reader }, undefined, false).catch(() => undefined)
  }
}
