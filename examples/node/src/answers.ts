// A web app whose campaigns people answer: Twilio's callbacks, an assistant, and the assistant on the telephone. `serve-answers.ts` starts it.
import type { CampaignRecord, Engine } from 'campaign-node'
import Fastify, { type FastifyInstance } from 'fastify'
import { WebSocketServer } from 'ws'

/** The app. Closing it closes the engine. */
export function answers(engine: Engine, number: string): FastifyInstance {
  const server = Fastify()
  server.addHook('onClose', () => engine.close())

  // Callbacks are handed on as they came in: their signatures cover every byte.
  server.register(async (callbacks) => {
    callbacks.removeAllContentTypeParsers()
    callbacks.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    callbacks.all('/twilio/*', async (request, reply) => {
      const answer = await engine.callback({ method: request.method, url: request.url, headers: request.headers, body: request.body as Buffer })
      return reply.code(answer.status).headers(answer.headers).send(answer.body)
    })
  })

  // On the telephone Twilio opens a WebSocket; whoever may open one speaks as the person.
  const sockets = new WebSocketServer({ noServer: true })
  sockets.on('connection', (socket) => void engine.relay(socket).catch(console.error))
  server.server.on('upgrade', async (request, socket, head) => {
    const signed = await engine.isSigned({ method: 'GET', url: request.url ?? '', headers: request.headers })
    if (!signed) return socket.destroy()
    sockets.handleUpgrade(request, socket, head, (opened) => sockets.emit('connection', opened, request))
  })

  /** Calls everybody, and writes to those who do not pick up. */
  server.post('/campaigns', async (request): Promise<CampaignRecord> => {
    const { id } = await engine.createCampaign({
      name: 'Reminders', campaignType: 'mixed', maxAttempts: 1, ringTimeoutSeconds: 20, callerIds: [{ number }], replies: { assistant: true },
      steps: [{ channel: 'call' }, { channel: 'sms', when: { previous: ['no_answer', 'busy', 'voicemail'] } }],
      welcomeMessageTemplate: 'Hi {{ name }}, we see you on Monday at nine.',
      smsMessageTemplate: 'Hi {{ name }}, see you on Monday at nine. Reply STOP to opt out.',
      agendaTemplate: 'The appointment is on Monday at nine.',
    })
    await engine.addContacts(id, request.body as Record<string, unknown>[])
    return engine.start(id)
  })
  server.get('/campaigns/:id/result', (request) => engine.wait(Number((request.params as { id: string }).id)))
  server.get('/conversations/:phoneNumber', async (request) => {
    const found = await engine.conversations(request.params as { phoneNumber: string })
    return Promise.all(found.map(async (one) => ({ ...one, messages: (await engine.messages(one)).items })))
  })
  return server
}
