// A dialer of your own: any object with `dial`, and `find` where the provider can be asked.
import { DialError, Engine, type DialContext, type Dialer, type DialRequest, type FindRequest, type Found, type Outcome } from 'campaign-node'
import { setTimeout as wait } from 'node:timers/promises'

/** Stands for a provider's HTTP API. */
class Provider {
  readonly calls = new Map<string, { id: string; answered: boolean }>()

  async place(key: string, to: string, signal: AbortSignal): Promise<{ id: string; answered: boolean }> {
    await wait(5, undefined, { signal })
    if (to.endsWith('9')) throw Object.assign(new Error('no such number'), { status: 404 })
    const call = { id: `CA${this.calls.size + 1}`, answered: !to.endsWith('8') }
    this.calls.set(key, call)
    return call
  }
}

class OwnDialer implements Dialer {
  readonly capabilities = { channels: ['call'], idempotency: 'callback_ref', cancel: true, callsPerSecond: 100 } as const
  readonly #provider: Provider

  constructor(provider: Provider) {
    this.#provider = provider
  }

  async dial(request: DialRequest, context: DialContext): Promise<Outcome> {
    try {
      const call = await this.#provider.place(request.key, request.to, context.signal)
      await context.placed(call.id)
      return { disposition: call.answered ? 'answered' : 'no_answer', durationSeconds: call.answered ? 12 : 0, cost: 0.01, providerRef: call.id }
    } catch (cause) {
      // Certainly not placed: the provider said so. Whatever else happens leaves the call in doubt, and `find` is asked.
      if (cause instanceof Error && 'status' in cause && cause.status === 404) throw new DialError('permanent', 'no such number', { cause })
      throw cause
    }
  }

  find({ key }: FindRequest): Found {
    const call = this.#provider.calls.get(key)
    return call === undefined ? 'never_happened' : { disposition: call.answered ? 'answered' : 'no_answer', providerRef: call.id }
  }
}

const engine = await Engine.open('memory://', {
  dialer: new OwnDialer(new Provider()),
  onError: (error) => console.log(`told: ${error.message}, because of: ${String(error.cause)}`),
})
const { id } = await engine.createCampaign({ name: 'Own dialer', maxAttempts: 1, rateLimitPerMinute: 'unlimited' })
await engine.addContacts(id, ['+12125550107', '+12125550108', '+12125550109'].map((phoneNumber) => ({ phoneNumber })))
await engine.start(id)
await engine.wait(id)
for (const { disposition, providerRef } of (await engine.executions(id)).items) console.log(disposition, providerRef)
await engine.close()
