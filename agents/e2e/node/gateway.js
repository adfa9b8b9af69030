'use strict';
// Gateway of the shop: hands a purchase to the order service at ORDERS_URL. Contains no OpenTelemetry
// code: `--require @opentelemetry/auto-instrumentations-node/register` adds it from outside. Binds a
// free port and says which on stdout.

const express = require('express');

const app = express();

app.post('/buy/:sku', async (req, res, next) => {
  try {
    const url = `${process.env.ORDERS_URL}/orders/${encodeURIComponent(req.params.sku)}`;
    const answer = await fetch(url, { method: 'POST', signal: AbortSignal.timeout(15000) });
    const body = answer.headers.get('content-type')?.includes('json') ? await answer.json() : {};
    res.status(answer.status).json(body);
  } catch (error) {
    next(error);
  }
});

const server = app.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ listening: `127.0.0.1:${server.address().port}` }));
});

process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
