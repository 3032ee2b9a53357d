"""Errors that a user can cause and mend; messages name the thing, the value and the remedy."""


class TinyscopeError(Exception):
    """Base of all errors that tinyscope raises on purpose."""


class SettingsError(TinyscopeError):
    """A recipe, an option or an argument is wrong; the message starts with the key's path."""


class DataError(TinyscopeError):
    """An image or annotation file is missing, damaged or contradicts itself."""


class CheckpointError(TinyscopeError):
    """A checkpoint is missing, damaged, or belongs to another model."""


class TrainingError(TinyscopeError):
    """Training cannot go on, for example because a loss is not finite."""
