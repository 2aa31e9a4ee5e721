"""The support team's page: how much comes in and of what kind, the inquiries, the review queue, a form to submit one.

`inquiry-svc console` starts it. It is a client of the service like any other: it asks the HTTP interface and knows no
store, so it may run on another machine. Streamlit (the extra `streamlit`) runs `app.py`, and the file of the page that
is looked at, anew for each visitor and each click; what they do beside telling what they hold is in `main()`.
"""
