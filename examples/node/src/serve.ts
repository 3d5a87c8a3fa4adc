// `node build/serve.js`, then open the page of a campaign: http://127.0.0.1:3000/campaigns/1/page
import { Engine, SimulatedDialer } from 'campaign-node'
import { app } from './app.js'

const server = app(await Engine.open('sqlite://campaigns.db', { dialer: new SimulatedDialer({ seed: 7 }) }))
process.once('SIGTERM', () => void server.close())
process.once('SIGINT', () => void server.close())
console.log(await server.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) }))
