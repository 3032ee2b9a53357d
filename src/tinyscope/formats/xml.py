"""XML with line numbers and without entities."""

from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from tinyscope.errors import DataError

LINE = "line"
"""Attribute in which every element carries the line that it starts in."""


def parse_xml(path: Path) -> Element:
    """The root of an XML file; attributes are replaced by the line that an element starts in.

    Raises:
        DataError: The file is malformed, or declares entities, which can be made to grow without
            bound or to read other files.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def start(tag: str, _: dict[str, str]) -> None:
        builder.start(tag, {LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> NoReturn:
        raise DataError(
            f"{path}, line {parser.CurrentLineNumber}: declares an entity, which is not read; "
            "write the text itself"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except expat.ExpatError as error:
        raise DataError(
            f"{path}, line {error.lineno}: is not valid XML ({expat.errors.messages[error.code]}); "
            "copy it again or write it anew"
        ) from error
    return builder.close()
