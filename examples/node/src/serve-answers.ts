// `node build/serve-answers.js` with TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_NUMBER and PUBLIC_BASE_URL, and OPENAI_API_KEY for a model that
// answers. Let the number's messages come in at /twilio/sms and its calls at /twilio/incoming.
import { Engine, OpenAiAssistant, TwilioDialer, type Assistant } from 'campaign-node'
import { answers } from './answers.js'

const {
  TWILIO_ACCOUNT_SID: accountSid = '', TWILIO_AUTH_TOKEN: authToken = '', TWILIO_NUMBER: fromNumber = '', PUBLIC_BASE_URL: publicBaseUrl = '',
  TWILIO_API_BASE: apiBase = null, CAMPAIGN_STORE: store = 'memory://', OPENAI_API_KEY: apiKey, PORT: port = '3000',
} = process.env

/** Answers where there is no model. */
const receptionist: Assistant = {
  async *answer({ agenda }) {
    yield 'Thank you. '
    yield agenda ?? 'A colleague will get back to you.'
  },
}

const assistant = apiKey === undefined ? receptionist : new OpenAiAssistant({ model: 'gpt-4o-mini', apiKey })
const dialer = new TwilioDialer({ accountSid, authToken, fromNumber, publicBaseUrl, apiBase })
const server = answers(await Engine.open(store, { dialer, assistant }), fromNumber)
process.once('SIGTERM', () => void server.close())
process.once('SIGINT', () => void server.close())
console.log(await server.listen({ host: '127.0.0.1', port: Number(port) }))
