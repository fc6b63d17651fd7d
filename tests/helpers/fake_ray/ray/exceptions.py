"""Errors of actors."""


class RayError(Exception):
    pass
