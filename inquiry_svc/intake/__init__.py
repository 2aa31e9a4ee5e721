"""What others send, judged: bytes to an `Inquiry`, or every reason why not, the same by whichever way they came.

`web` asks here and so does every source. Nothing here knows HTTP.
"""
