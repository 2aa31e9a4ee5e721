"""Several processes that serve as one: `inquiry-svc serve --workers N`.

The process that was started is the parent (`parent`): it starts the workers (`process`), starts those that die again,
hands on signals, adds up everybody's metrics (`merging`, `totals`) and says where each caller's window is, which all
count in (`windows`). A worker is a whole service with a port of its own, which the system shares out among them
(SO_REUSEPORT), and a link to the parent (`membership`, `link`). The parent opens no provider and serves no request, so
that nothing can kill it that kills a worker.
"""
