# SPDX-License-Identifier: GPL-2.0
"""Warns of a table whose first column goes on in the next line.

In a simple table, which has rules above and below only, that begins another row; other columns may
go on. A table with lines between its cells can have both.
"""

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)


class Rows(SphinxPostTransform):
    default_priority = 10

    def run(self, **kwargs):
        for row in self.document.findall(nodes.row):
            first, *others = (cell.astext() for cell in row.children)
            if others and first and not any(others):
                logger.warning('another row begins at: %s', first, location=row)


def setup(app):
    app.add_post_transform(Rows)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
