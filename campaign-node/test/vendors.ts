// The stand-ins for Twilio and ElevenLabs, which are programs of the workspace, and a web server that hands callbacks on.
import { ElevenLabsDialer, TwilioDialer, type Engine, type TwilioSettings } from 'campaign-node'
import assert from 'node:assert/strict'
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { buffer } from 'node:stream/consumers'

export const OURS = '+12025550100'

/** What Twilio sent or called. */
export interface Placed {
  sid: string
  status: string
  fields: Record<string, string>
}

/** Both of them, on a clock ten times as fast as the wall's; `tests/src/bin/vendors.rs` lists what they can be told. */
export class Vendors {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>
  #urls: Record<string, Record<string, string>> = {}

  private constructor(program: string) {
    this.#process = spawn(program)
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]()
  }

  static async start(): Promise<Vendors> {
    const program = process.env['CAMPAIGN_VENDORS']
    assert.ok(program, 'CAMPAIGN_VENDORS must name the program `vendors` of the workspace; scripts/node.sh builds it')
    const vendors = new Vendors(program)
    vendors.#urls = (await vendors.#line()) as Record<string, Record<string, string>>
    return vendors
  }

  async #line(): Promise<unknown> {
    return JSON.parse((await this.#lines.next()).value as string)
  }

  /** One command at a time. */
  async do<T>(what: string, args: Record<string, unknown> = {}): Promise<T> {
    this.#process.stdin.write(`${JSON.stringify({ do: what, ...args })}\n`)
    return (await this.#line()) as T
  }

  async close(): Promise<void> {
    this.#process.stdin.end()
    await once(this.#process, 'exit')
  }

  twilio(publicBaseUrl?: string): TwilioDialer {
    const { api_base = '', account_sid = '', auth_token = '' } = this.#urls['twilio'] ?? {}
    const settings: TwilioSettings = { accountSid: account_sid, authToken: auth_token, apiBase: api_base, fromNumber: OURS, callsPerSecond: 50 }
    return new TwilioDialer(publicBaseUrl === undefined ? settings : { ...settings, publicBaseUrl })
  }

  elevenLabs(): ElevenLabsDialer {
    const { base_url = '', api_key = '', webhook_secret = '' } = this.#urls['elevenlabs'] ?? {}
    return new ElevenLabsDialer({ apiKey: api_key, baseUrl: base_url, webhookSecrets: [webhook_secret], agentId: 'agent_1', phoneNumbers: { [OURS]: 'phnum_1' } })
  }
}

/** The address of a web server; first there is the address, then the engine that answers. */
export class Porch {
  readonly #server: Server
  engine: Engine | undefined

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const body = await buffer(request)
      const answer = await this.engine?.callback({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
      response.writeHead(answer?.status ?? 503, answer?.headers).end(answer?.body)
    })
  }

  static async open(): Promise<Porch> {
    const porch = new Porch()
    porch.#server.listen(0, '127.0.0.1')
    await once(porch.#server, 'listening')
    return porch
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
