"""This package as the whole application, without FastAPI around it."""

from subjects.ours import router

app = router
