// A web app around an engine: campaigns over HTTP, and their events as server-sent events for a page.
import { CampaignError, type Engine } from 'campaign-node'
import Fastify, { type FastifyInstance } from 'fastify'
import { Readable } from 'node:stream'

const STATUS: Record<string, number> = { invalid: 422, not_found: 404, conflict: 409, state: 400, template: 422, throttled: 429 }

const PAGE = `<!doctype html><title>Campaign</title><pre id="log"></pre><script>
new EventSource(location.pathname.replace(/page$/, 'events')).onmessage = ({ data }) => { log.textContent = data + '\\n' + log.textContent }
</script>`

/** The app. Closing it closes the engine. */
export function app(engine: Engine): FastifyInstance {
  const server = Fastify()
  server.addHook('onClose', () => engine.close())
  server.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof CampaignError)) return reply.send(error)
    return reply.code(STATUS[error.kind] ?? 500).send({ detail: error.message, code: error.code })
  })
  const id = (request: { params: unknown }): number => Number((request.params as { id: string }).id)

  server.post('/campaigns', (request) => engine.createCampaign(request.body as { name: string }))
  server.get('/campaigns/:id', (request) => engine.getCampaign(id(request)))
  server.post('/campaigns/:id/contacts', (request) => engine.addContacts(id(request), request.body as Record<string, unknown>[]))
  server.post('/campaigns/:id/start', (request) => engine.start(id(request)))
  server.get('/campaigns/:id/page', (_request, reply) => reply.type('text/html').send(PAGE))
  server.get('/campaigns/:id/events', (request, reply) => {
    const events = engine.events(id(request))
    // When the browser goes, the stream is destroyed, and with it the loop over the events ends.
    const lines = Readable.from((async function* () {
      yield ': listening\n\n'
      for await (const { type, ...event } of events) yield `event: message\ndata: ${JSON.stringify({ type, ...event })}\n\n`
    })())
    request.raw.once('close', () => lines.destroy())
    return reply.type('text/event-stream').header('cache-control', 'no-store').send(lines)
  })
  return server
}
